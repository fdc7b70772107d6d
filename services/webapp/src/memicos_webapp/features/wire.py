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
    """An object of which only the name is known."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """name of the account or release"""


class ActivationRow(BaseModel):
    """An example: a context with the feature's value at every position, BOS included."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """id of the example within the current load"""
    modelId: str
    """id of the model"""
    layer: str
    """id of the source"""
    source: str
    """id of the source"""
    index: str
    """index of the feature in its source, 0 is the first, as a string of digits"""
    tokens: list[str]
    """the context's tokens, BOS included"""
    tokenIds: list[int] | None
    """id of each token in the model's vocabulary, BOS included; null where the dataset has none"""
    values: list[float]
    """activation of the feature at each token; as many as tokens"""
    maxValue: float
    """largest of values"""
    maxValueTokenIndex: int
    """token position of maxValue; 0 is the first token, BOS included"""
    minValue: float
    """smallest of values"""
    qualifyingTokenIndex: int
    """token position by whose activation the context was chosen; in an interval it need not be the strongest"""
    binMin: float
    """lower end of the activation interval; -1 for the strongest examples"""
    binMax: float
    """upper end of the activation interval; for the strongest examples the feature's maximum"""
    binContains: float | None
    """share of activations inside the interval, 0 to 1; null for the strongest examples"""
    dataIndex: str | None
    """number of the context in its corpus"""
    dataSource: str | None
    """collection of the corpus that the text comes from"""
    document: str | None
    """title of the text"""
    license: str | None
    """licence of the collection"""
    dfaValues: list[float] = []
    """always empty: direct feature attribution is not stored"""
    dfaTargetIndex: int | None = None
    """always null"""
    dfaMaxValue: float | None = None
    """always null"""


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
    """A language model."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """id of the model"""
    displayName: str
    """name of the model for people"""
    layers: int
    """number of layers"""
    instruct: bool
    """whether the model is instruction-tuned"""
    origin: str
    """where the weights come from"""
    license: str
    """licence of the weights"""


class SourceBody(BaseModel):
    """An SAE at one hook point."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """id of the source: <layer>-<set>"""
    modelId: str
    """id of the model"""
    setName: str
    """name of the source set"""
    layer: int
    """number of the layer, 0 is the first"""
    hookName: str
    """hook point that the source reads"""
    architecture: str
    """architecture of the SAE"""
    dSae: int
    """number of features"""
    saelensConfig: dict[str, Any]
    """configuration of the SAE in SAELens' format"""
    recipe: Recipe
    """how text became the activations shown"""
    num_prompts: int
    """contexts of the corpus"""
    num_tokens_in_prompt: int
    """tokens of each context"""
    dataset: str
    """name of the corpus"""


class SourceSetBody(BaseModel):
    """The SAEs of one training run."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    modelId: str
    """id of the model"""
    name: str
    """name of the source set"""
    description: str
    """what the set is"""
    releaseName: str
    """name of the release that published it"""


class FeatureBody(BaseModel):
    """Everything that a feature's page shows."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    modelId: str
    """id of the model"""
    layer: str
    """id of the source"""
    index: str
    """index of the feature in its source, 0 is the first, as a string of digits"""
    sourceSetName: str
    """name of the source set"""
    creator: Named
    """name of the release that published the source"""
    hookName: str
    """hook point that the source reads"""
    maxActApprox: float
    """largest activation of the feature in the corpus"""
    frac_nonzero: float
    """activation density: share of counted tokens on which the feature is active, 0 to 1"""
    active_tokens: int
    """tokens on which the feature is active"""
    counted_tokens: int
    """tokens of the corpus that count: without ignored positions"""
    freq_hist_data_bar_heights: list[int]
    """histogram of non-zero activations: tokens in each bin"""
    freq_hist_data_bar_values: list[float]
    """centre of each bin of the activation histogram"""
    logits_hist_data_bar_heights: list[int]
    """histogram of the feature's logit effects: vocabulary tokens in each bin"""
    logits_hist_data_bar_values: list[float]
    """centre of each bin of the logit histogram"""
    pos_str: list[str]
    """tokens with the largest positive logits, largest first"""
    pos_values: list[float]
    """logit of each token of pos_str"""
    neg_str: list[str]
    """tokens with the most negative logits, most negative first"""
    neg_values: list[float]
    """logit of each token of neg_str"""
    topkCosSimIndices: list[int]
    """features of this source with the most similar decoder vectors"""
    topkCosSimValues: list[float]
    """decoder cosine of each of topkCosSimIndices"""
    correlated_neurons_indices: list[int] = []
    """always empty: not stored"""
    correlated_neurons_pearson: list[float] = []
    """always empty: not stored"""
    correlated_neurons_l1: list[float] = []
    """always empty: not stored"""
    correlated_features_indices: list[int]
    """features of this source whose activations correlate most, by index"""
    correlated_features_pearson: list[float]
    """Pearson correlation of each of correlated_features_indices"""
    correlated_features_l1: list[float] = []
    """always empty: not stored"""
    neuron_alignment_indices: list[int] = []
    """always empty: not stored"""
    neuron_alignment_values: list[float] = []
    """always empty: not stored"""
    neuron_alignment_l1: list[float] = []
    """always empty: not stored"""
    decoder_weights_dist: list[float] = []
    """always empty: not stored"""
    hasVector: bool = False
    """always false: the feature is an SAE latent, not a vector of a user"""
    vector: list[float] = []
    """always empty: inference has the decoder vector"""
    vectorLabel: str | None = None
    """always null"""
    vectorDefaultSteerStrength: float
    """the feature's largest activation; 10 where it is never active"""
    umap_cluster: int | None = None
    """always null: not stored"""
    umap_log_feature_sparsity: float | None = None
    """always null: not stored"""
    umap_x: float | None = None
    """always null: not stored"""
    umap_y: float | None = None
    """always null: not stored"""
    previousLiveIndex: int | None
    """nearest lower index of a feature that is active somewhere; null where there is none"""
    nextLiveIndex: int | None
    """nearest higher index of a feature that is active somewhere; null where there is none"""
    logitEffect: str
    """how pos_str and neg_str were computed"""
    model: ModelBody
    """the model"""
    source: SourceBody
    """the source"""
    sourceSet: SourceSetBody
    """the source set"""
    activations: list[ActivationRow]
    """all examples: the strongest first, then activation intervals from strong to weak"""
    explanations: list[ExplanationBody]
    """all explanations of the feature"""
    lists: list[dict[str, Any]] = []
    """always empty: there are no lists"""
    comments: list[dict[str, Any]] = []
    """always empty: there are no comments"""


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
