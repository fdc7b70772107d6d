"""A feature as the field's API has it: names and meaning of its known columns, which published clients read.

`layer` is the source's id, `index` a string. Columns that memicos has no data for are present and empty.
"""

from datetime import datetime
from typing import Any

from memicos_dataset.schema import TOP_GROUP
from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp import recipes
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.features.rows import ExplanationRow
from memicos_webapp.features.service import FeatureDetail
from memicos_webapp.recipes import Recipe


class Named(BaseModel):
    name: str


class ActivationRow(BaseModel):
    """An example: a context with the feature's value at every position, BOS included."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    modelId: str
    layer: str
    source: str
    index: str
    tokens: list[str]
    tokenIds: list[int] | None
    """What the model read, BOS included; null where the dataset has none."""
    values: list[float]
    maxValue: float
    maxValueTokenIndex: int
    minValue: float
    qualifyingTokenIndex: int
    """The position that put the context here; in an interval it need not be the strongest."""
    binMin: float
    """-1 for the strongest examples."""
    binMax: float
    binContains: float | None
    """Share of activations inside the interval; null for the strongest examples (clients refuse -1)."""
    dataIndex: str | None
    dataSource: str | None
    document: str | None
    license: str | None
    dfaValues: list[float] = []
    dfaTargetIndex: int | None = None
    dfaMaxValue: float | None = None


class ExplanationBody(BaseModel):
    """An explanation of a feature."""

    id: str = Field(description="id of the explanation")
    modelId: str = Field(description="id of the model")
    layer: str = Field(description="id of the source")
    source: str = Field(description="id of the source")
    index: str = Field(description="index of the feature")
    description: str = Field(description="text of the explanation")
    typeName: str = Field(description="method of the explanation")
    explanationModelName: str | None = Field(description="language model that wrote it; null where none did")
    author: Named | None = Field(description="account that generated it; null for explanations of a dataset")
    createdAt: datetime = Field(description="when it was stored")
    chosenAsLabel: bool = Field(description="whether somebody chose it as the feature's label")
    scores: list[dict[str, Any]] = Field(default=[], description="always empty")
    triggeredByUser: Named | None = Field(default=None, description="always null")


class ModelBody(BaseModel):
    id: str
    displayName: str
    layers: int
    instruct: bool
    origin: str
    license: str


class SourceBody(BaseModel):
    id: str
    modelId: str
    setName: str
    layer: int
    hookName: str
    architecture: str
    dSae: int
    saelensConfig: dict[str, Any]
    recipe: Recipe
    num_prompts: int
    num_tokens_in_prompt: int
    dataset: str


class SourceSetBody(BaseModel):
    modelId: str
    name: str
    description: str
    releaseName: str


class FeatureBody(BaseModel):
    modelId: str
    layer: str
    index: str
    sourceSetName: str
    creator: Named
    hookName: str
    maxActApprox: float
    frac_nonzero: float
    active_tokens: int
    counted_tokens: int
    freq_hist_data_bar_heights: list[int]
    freq_hist_data_bar_values: list[float]
    logits_hist_data_bar_heights: list[int]
    logits_hist_data_bar_values: list[float]
    pos_str: list[str]
    pos_values: list[float]
    neg_str: list[str]
    neg_values: list[float]
    topkCosSimIndices: list[int]
    topkCosSimValues: list[float]
    correlated_neurons_indices: list[int] = []
    correlated_neurons_pearson: list[float] = []
    correlated_neurons_l1: list[float] = []
    correlated_features_indices: list[int]
    correlated_features_pearson: list[float]
    correlated_features_l1: list[float] = []
    neuron_alignment_indices: list[int] = []
    neuron_alignment_values: list[float] = []
    neuron_alignment_l1: list[float] = []
    decoder_weights_dist: list[float] = []
    hasVector: bool = False
    vector: list[float] = []
    vectorLabel: str | None = None
    vectorDefaultSteerStrength: float
    umap_cluster: int | None = None
    umap_log_feature_sparsity: float | None = None
    umap_x: float | None = None
    umap_y: float | None = None
    previousLiveIndex: int | None
    nextLiveIndex: int | None
    logitEffect: str
    model: ModelBody
    source: SourceBody
    sourceSet: SourceSetBody
    activations: list[ActivationRow]
    explanations: list[ExplanationBody]
    lists: list[dict[str, Any]] = []
    comments: list[dict[str, Any]] = []


def _centres(bins: int, low: float, high: float) -> list[float]:
    width = (high - low) / bins if bins else 0.0
    return [low + (i + 0.5) * width for i in range(bins)]


def activations(detail: FeatureDetail) -> list[ActivationRow]:
    """All examples: the strongest first, then intervals from strong to weak, in each by value."""
    row, source = detail.row, detail.source
    licences = {one["name"]: one["license"] for one in source.collections}
    intervals = len(row.quantile_shares)
    made = []
    for example in detail.examples():
        context, group = example.context, example.group
        values = [example.values.get(i, 0.0) for i in range(len(context.tokens))]
        strongest = max(range(len(values)), key=values.__getitem__)
        top = group == TOP_GROUP
        made.append(
            ActivationRow(
                id=f"{row.load_id}-{row.index}-{example.number}",
                modelId=source.model_id,
                layer=source.name,
                source=source.name,
                index=str(row.index),
                tokens=context.tokens,
                tokenIds=context.token_ids,
                values=values,
                maxValue=values[strongest],
                maxValueTokenIndex=strongest,
                minValue=min(values),
                qualifyingTokenIndex=example.position,
                binMin=-1 if top else row.max_activation * (group - 1) / intervals,
                binMax=row.max_activation if top else row.max_activation * group / intervals,
                binContains=None if top else row.quantile_shares[group - 1],
                dataIndex=str(context.number),
                dataSource=context.collection,
                document=context.title,
                license=licences.get(context.collection or ""),
            )
        )
    return sorted(made, key=lambda one: (one.binMin != -1, -one.binMax, -one.maxValue))


def explanation(source: SourceInfo, row: ExplanationRow) -> ExplanationBody:
    return ExplanationBody(
        id=str(row.id),
        modelId=source.model_id,
        layer=source.name,
        source=source.name,
        index=str(row.index),
        description=row.description,
        typeName=row.method,
        explanationModelName=row.model,
        author=Named(name=row.author) if row.author else None,
        createdAt=row.created_at,
        chosenAsLabel=row.chosen_as_label,
    )


def feature(detail: FeatureDetail) -> FeatureBody:
    row, source = detail.row, detail.source
    return FeatureBody(
        modelId=source.model_id,
        layer=source.name,
        index=str(row.index),
        sourceSetName=source.set_name,
        creator=Named(name=source.release_name),
        hookName=source.recipe["hook_name"],
        maxActApprox=row.max_activation,
        frac_nonzero=row.density,
        active_tokens=row.active_tokens,
        counted_tokens=source.counted_tokens,
        freq_hist_data_bar_heights=row.activation_histogram,
        freq_hist_data_bar_values=_centres(len(row.activation_histogram), 0, row.max_activation),
        logits_hist_data_bar_heights=row.logit_histogram,
        logits_hist_data_bar_values=_centres(len(row.logit_histogram), row.logit_min, row.logit_max),
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
            recipe=recipes.of_dataset(source),
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
        activations=activations(detail),
        explanations=[explanation(source, one) for one in detail.explanations],
    )
