"""Rows of a feature as the feature JSON of the API (`schemas.FeatureBody`)."""

from collections.abc import Sequence
from typing import Any

from memicos_dataset.schema import TOP_GROUP

from memicos_webapp import recipes
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.features.rows import Attribution, ExplanationRow
from memicos_webapp.features.schemas import (
    ActivationRow,
    ExplanationBody,
    FeatureBody,
    ModelBody,
    NameBody,
    SourceBody,
    SourceSetBody,
)
from memicos_webapp.features.service import FeatureDetail
from memicos_webapp.scores.schemas import ScoreBody
from memicos_webapp.scores.texts import scored_texts


def _bin_centres(bins: int, low: float, high: float) -> list[float]:
    width = (high - low) / bins if bins else 0.0
    return [low + (i + 0.5) * width for i in range(bins)]


def activation_rows(detail: FeatureDetail) -> list[ActivationRow]:
    """All examples: the top activations, then those of the intervals from strong to weak; in each by value."""
    feature, source = detail.row, detail.source
    licences = {collection["name"]: collection["license"] for collection in source.collections}
    intervals = len(feature.quantile_shares)
    rows = []
    for example in detail.examples():
        context, group = example.context, example.group
        values = [example.values.get(i, 0.0) for i in range(len(context.tokens))]
        strongest = max(range(len(values)), key=values.__getitem__)
        top = group == TOP_GROUP
        rows.append(
            ActivationRow(
                id=f"{feature.load_id}-{feature.index}-{example.number}",
                modelId=source.model_id,
                layer=source.name,
                source=source.name,
                index=str(feature.index),
                tokens=context.tokens,
                # stored without ids where the dataset has none
                tokenIds=context.token_ids or None,
                values=values,
                maxValue=values[strongest],
                maxValueTokenIndex=strongest,
                minValue=min(values),
                qualifyingTokenIndex=example.position,
                binMin=-1 if top else feature.max_activation * (group - 1) / intervals,
                binMax=feature.max_activation if top else feature.max_activation * group / intervals,
                binContains=None if top else feature.quantile_shares[group - 1],
                dataIndex=str(context.number),
                dataSource=context.collection,
                document=context.title,
                license=licences.get(context.collection or ""),
                **_attribution_fields(example.attribution),
            )
        )
    return sorted(rows, key=lambda row: (row.binMin != -1, -row.binMax, -row.maxValue))


def _attribution_fields(attribution: Attribution | None) -> dict[str, Any]:
    if attribution is None:
        return {}
    return {
        "dfaValues": attribution.values,
        "dfaTargetIndex": attribution.target,
        "dfaMaxValue": max(attribution.values),
    }


def explanation_body(source: SourceInfo, row: ExplanationRow, scores: Sequence[ScoreBody] = ()) -> ExplanationBody:
    return ExplanationBody(
        id=str(row.id),
        modelId=source.model_id,
        layer=source.name,
        source=source.name,
        index=str(row.index),
        description=row.description,
        typeName=row.method,
        explanationModelName=row.model,
        author=NameBody(name=row.author) if row.author else None,
        createdAt=row.created_at,
        chosenAsLabel=row.chosen_as_label,
        templateVersion=row.template_version,
        profile=row.profile,
        parameters=row.parameters,
        promptTokens=row.prompt_tokens,
        completionTokens=row.completion_tokens,
        cost=row.cost,
        scores=list(scores),
    )


def score_bodies(detail: FeatureDetail, explanation: ExplanationRow) -> list[ScoreBody]:
    """Scores of an explanation. Those of another corpus than the source shows have no texts."""
    return [
        ScoreBody.from_row(row, scored_texts(row, detail.source, detail.contexts, detail.row))
        for row in detail.scores.get(explanation.id, [])
    ]


def feature_body(detail: FeatureDetail) -> FeatureBody:
    row, source = detail.row, detail.source
    return FeatureBody(
        modelId=source.model_id,
        layer=source.name,
        index=str(row.index),
        sourceSetName=source.set_name,
        creator=NameBody(name=source.release_name),
        hookName=source.recipe["hook_name"],
        maxActApprox=row.max_activation,
        frac_nonzero=row.density,
        active_tokens=row.active_tokens,
        counted_tokens=source.counted_tokens,
        freq_hist_data_bar_heights=row.activation_histogram,
        freq_hist_data_bar_values=_bin_centres(len(row.activation_histogram), 0, row.max_activation),
        logits_hist_data_bar_heights=row.logit_histogram,
        logits_hist_data_bar_values=_bin_centres(len(row.logit_histogram), row.logit_min, row.logit_max),
        pos_str=row.positive_tokens,
        pos_values=row.positive_logits,
        neg_str=row.negative_tokens,
        neg_values=row.negative_logits,
        # the first entry is the feature itself, as clients expect
        topkCosSimIndices=[row.index, *row.neighbour_indices],
        topkCosSimValues=[1.0, *row.neighbour_cosines],
        correlated_features_indices=row.correlated_indices,
        correlated_features_pearson=row.correlated_pearson,
        vectorDefaultSteerStrength=row.max_activation or 10,
        previousLiveIndex=row.previous,
        nextLiveIndex=row.next,
        logitEffect=source.logit_effect,
        model=ModelBody(
            id=source.model_id,
            displayName=source.model_name,
            layers=source.model_layers,
            instruct=source.chat,
            origin=source.model_origin,
            license=source.model_license,
        ),
        source=SourceBody(
            id=source.name,
            modelId=source.model_id,
            setName=source.set_name,
            layer=source.layer,
            hookName=source.recipe["hook_name"],
            architecture=source.architecture,
            dSae=source.d_sae,
            saelensConfig=source.sae_config,
            recipe=recipes.dataset_recipe(source),
            num_prompts=source.corpus_contexts,
            num_tokens_in_prompt=source.context_size,
            dataset=source.corpus_description,
        ),
        sourceSet=SourceSetBody(
            modelId=source.model_id,
            name=source.set_name,
            description=source.set_title,
            releaseName=source.release_id,
        ),
        activations=activation_rows(detail),
        explanations=[
            explanation_body(source, explanation, score_bodies(detail, explanation))
            for explanation in detail.explanations
        ],
    )
