"""Features in requests and responses: how a request names one, the filter of a source's table, and the feature JSON.

The feature JSON has the fields of Neuronpedia's, which published clients read: `layer` is the source's id, `index` a
string. Fields that memicos has no data for are present and empty. `feature_json` fills it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from memicos_webapp.features.rows import CardExample, ContextRow, FeatureCard
from memicos_webapp.recipes import Recipe
from memicos_webapp.scores.schemas import ScoreBody
from memicos_webapp.validation import check_number

MAX_INDEX = 2**31 - 1
"""Largest integer of PostgreSQL."""


class FeatureId(BaseModel):
    """A feature, with the field names of all published clients."""

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=())

    model_id: str = Field(alias="modelId", description="id of the model")
    source: str = Field(
        validation_alias=AliasChoices("layer", "source"), description="id of the source; also accepted as `source`"
    )
    index: Annotated[int, BeforeValidator(check_number)] = Field(
        ge=0,
        le=MAX_INDEX,
        validation_alias=AliasChoices("index", "neuron"),
        description="index of the feature in its source, 0 is the first; a number, or a string of digits",
    )


def _empty_is_none(value: object) -> object:
    """A form sends an empty field as an empty string."""
    return None if value == "" else value


Bound = Annotated[float | None, BeforeValidator(_empty_is_none)]


class FeatureFilter(BaseModel):
    """Query of a source's page. Densities are in percent."""

    page: int = Field(1, ge=1, le=1_000_000)
    sort: Literal["index", "density", "max", "score"] = "index"
    order: Literal["asc", "desc"] = "asc"
    show: Literal["live", "all"] = "live"
    words: str = ""
    density_from: Bound = Field(None, ge=0, le=100)
    density_to: Bound = Field(None, ge=0, le=100)
    max_from: Bound = Field(None, ge=0, allow_inf_nan=False)
    max_to: Bound = Field(None, ge=0, allow_inf_nan=False)
    score_from: Bound = Field(None, ge=-1, le=1)
    score_to: Bound = Field(None, ge=-1, le=1)
    scorer: str = Field("", max_length=100)
    """Method of the scores; empty: the one that scored most explanations of the source."""

    @property
    def needs_scores(self) -> bool:
        return self.sort == "score" or self.score_from is not None or self.score_to is not None

    def query(self, **changes: object) -> dict[str, object]:
        """The filter as a query, without what is at its default."""
        return self.model_copy(update=changes).model_dump(exclude_defaults=True, exclude_none=True)


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class ExplanationSummary(_Camel):
    """An explanation of a feature, in short."""

    description: str = Field(description="text of the explanation")
    type_name: str = Field(description="method that made the explanation, such as eleuther_acts_top20")
    explanation_model_name: str | None = Field(description="language model that wrote it; null where none did")


class ExampleBody(_Camel):
    """A context of the corpus with the feature's activations, in short."""

    tokens: list[str] = Field(description="text of each token of the context, BOS included")
    values: list[float] = Field(description="activation of the feature at each token; as many as tokens")
    max_value: float = Field(description="largest of values")
    max_value_token_index: int = Field(description="token position of maxValue; 0 is the first token, BOS included")

    @classmethod
    def from_example(cls, example: CardExample, context: ContextRow) -> "ExampleBody":
        values = [example.values.get(i, 0.0) for i in range(len(context.tokens))]
        strongest = max(range(len(values)), key=values.__getitem__)
        return cls(tokens=context.tokens, values=values, max_value=values[strongest], max_value_token_index=strongest)


class NeuronBody(BaseModel):
    """The part of a feature's JSON that results show; `/api/feature/…` has all of it."""

    modelId: str = Field(description="id of the model")
    layer: str = Field(description="id of the source, the same as source")
    source: str = Field(description="id of the source")
    index: str = Field(description="index of the feature in its source, 0 is the first, as a string of digits")
    maxActApprox: float = Field(description="largest activation of the feature in the corpus; 0: it is never active")
    frac_nonzero: float = Field(description="activation density: share of counted tokens where it is active, 0 to 1")
    pos_str: list[str] = Field(description="tokens whose logits the feature raises most, largest effect first")
    pos_values: list[float] = Field(description="effect on the logit of each token of pos_str")
    neg_str: list[str] = Field(description="tokens whose logits the feature lowers most, most negative effect first")
    neg_values: list[float] = Field(description="effect on the logit of each token of neg_str")
    explanations: list[ExplanationSummary] = Field(description="explanations of the feature, its label first")
    activations: list[ExampleBody] = Field(description="the strongest example")

    @classmethod
    def from_card(cls, card: FeatureCard, contexts: Mapping[int, ContextRow]) -> "NeuronBody":
        """`contexts` has those of the card's examples, by number."""
        return cls(
            modelId=card.source.model_id,
            layer=card.source.name,
            source=card.source.name,
            index=str(card.index),
            maxActApprox=card.max_activation,
            frac_nonzero=card.density,
            pos_str=[token for token, _ in card.positive],
            pos_values=[value for _, value in card.positive],
            neg_str=[token for token, _ in card.negative],
            neg_values=[value for _, value in card.negative],
            explanations=[
                ExplanationSummary(
                    description=explanation.description,
                    type_name=explanation.method,
                    explanation_model_name=explanation.model,
                )
                for explanation in card.explanations
            ],
            activations=[ExampleBody.from_example(example, contexts[example.context]) for example in card.examples],
        )


class NameBody(BaseModel):
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
    """token position for whose activation the context was chosen; in an interval it need not be the strongest"""
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
    """direct feature attribution: what each token, as a source of attention, adds to the activation at dfaTargetIndex;
    as many as tokens, empty where the dataset has none"""
    dfaTargetIndex: int | None = None
    """token position whose activation dfaValues add up to; null where the dataset does not say it"""
    dfaMaxValue: float | None = None
    """largest of dfaValues; null without them"""


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
    author: NameBody | None = Field(description="account that generated it; null for explanations of a dataset")
    createdAt: datetime = Field(description="when it was stored")
    chosenAsLabel: bool = Field(description="whether a user chose it as the feature's label")
    templateVersion: int | None = Field(default=None, description="version of the method's prompt template")
    profile: str | None = Field(default=None, description="provider of the language model, by its name here")
    parameters: dict[str, Any] | None = Field(
        default=None, description="what shaped prompt and answer, such as the number of texts"
    )
    promptTokens: int | None = Field(default=None, description="tokens of the prompt; null where not counted")
    completionTokens: int | None = Field(default=None, description="tokens that the language model generated")
    cost: float | None = Field(default=None, description="US dollars paid; 0 for a stored answer, null where unknown")
    scores: list[ScoreBody] = Field(
        default=[], description="scores of the explanation; filled in the feature JSON only"
    )
    triggeredByUser: NameBody | None = Field(default=None, description="always null")


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
    """how the activations were computed"""
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
    creator: NameBody
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
