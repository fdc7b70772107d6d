"""The wire of `/v1/activation`: names and semantics of the field's published clients, and fields of our own.

Values always cover every position, a prepended BOS included. `ignore_bos` leaves the positions that the source's
recipe ignores (a prepended BOS, and tokens with an outlying norm where the recipe cuts them) out of maximum and
ranking. A `-batch` request gives for each of its prompts what the prompt alone would give.
"""

from pydantic import Field

from memicos_inference.http.api_model import ApiModel, Index, Number, Text
from memicos_inference.recipes import Recipe

IGNORED = "positions where values mean nothing: the source was not trained on such"
PROMPTS = "each is answered as it would be alone"


class DirectionRequest(ApiModel):
    """One direction: `source` and `index`, or `vector` and `hook`."""

    model: Text
    source: Text | None = None
    index: Index | None = None
    vector: list[Number] | None = Field(
        None, description="as it is, not normalised; no BOS is prepended unless the tokenizer does so itself"
    )
    hook: Text | None = Field(None, description="for example blocks.15.hook_resid_post")
    ignore_bos: bool = Field(False, description="leave ignored positions out of max_value")


class SingleRequest(DirectionRequest):
    """One direction on one prompt: `source` and `index`, or `vector` and `hook`."""

    prompt: Text


class SingleBatchRequest(DirectionRequest):
    """One direction on several prompts: `source` and `index`, or `vector` and `hook`."""

    prompts: list[Text] = Field(description=PROMPTS)


class AttributionFields(ApiModel):
    """Direct feature attribution of a source that reads attention heads (hook `attn.hook_z`); null for others."""

    dfa_values: list[float] | None = Field(
        None, description="one a token: what attention to it adds to the feature at dfa_target_index"
    )
    dfa_max_value: float | None = None
    dfa_target_index: int | None = Field(None, description="max_value_index")


class SingleActivation(AttributionFields):
    values: list[float] = Field(description="one a token")
    max_value: float
    max_value_index: int = Field(description="the first position with max_value")


class SingleResponse(ApiModel):
    activation: SingleActivation
    tokens: list[str]
    tokens_is_special: list[bool]
    token_ids: list[int]
    ignored_positions: list[int] = Field(description=IGNORED)
    recipe: Recipe


class SingleBatchResponse(ApiModel):
    results: list[SingleResponse] = Field(description="one a prompt")


class SourceSetRequest(ApiModel):
    """The strongest features of several sources."""

    model: Text
    source_set: Text
    selected_sources: list[Text] = Field(default_factory=list, description="source ids; empty: every source of the set")
    sort_by_token_indexes: list[int] = Field(
        default_factory=list, description="rank by the sum of values at these positions, not by the maximum"
    )
    ignore_bos: bool = True
    num_results: int | None = Field(25, ge=1, description="at most so many a prompt; null: 25")
    feature_filter: list[int] | None = Field(
        None, description="only these features of the one selected source, also where they do not fire"
    )


class AllRequest(SourceSetRequest):
    """The strongest features of several sources on one prompt."""

    prompt: Text


class AllBatchRequest(SourceSetRequest):
    """The strongest features of several sources on each of several prompts."""

    prompts: list[Text] = Field(description=PROMPTS)


class FeatureActivation(AttributionFields):
    source: str
    index: int
    values: list[float] = Field(description="one a token")
    sum_values: float | None = Field(
        None, description="what was ranked by, where sort_by_token_indexes was given; null otherwise"
    )
    max_value: float = Field(description="over the positions that count")
    max_value_index: int


class SourcePositions(ApiModel):
    source: str
    ignored_positions: list[int] = Field(description=IGNORED)
    recipe: Recipe


class AllResponse(ApiModel):
    """Only features that fire on a position that counts are results, unless feature_filter names them."""

    activations: list[FeatureActivation] = Field(description="strongest first; ties by source, then index")
    tokens: list[str]
    counts: list[list[int]] | None = Field(
        None, description="features that fire, by layer (from 0) and token; layers not asked for have 0"
    )
    tokens_is_special: list[bool]
    token_ids: list[int]
    sources: list[SourcePositions]


class AllBatchResponse(ApiModel):
    results: list[AllResponse] = Field(description="one a prompt")


class TopFeaturesRequest(ApiModel):
    """The strongest features of one source at each token."""

    model: Text
    source: Text
    top_k: int | None = Field(5, ge=1, description="at most so many a token; null: 5")
    ignore_bos: bool = Field(True, description="leave ignored positions out of results")


class TopkRequest(TopFeaturesRequest):
    """The strongest features of one source at each token of a prompt."""

    prompt: Text


class TopkBatchRequest(TopFeaturesRequest):
    """The strongest features of one source at each token of several prompts."""

    prompts: list[Text] = Field(description=PROMPTS)


class TopFeature(ApiModel):
    feature_index: int
    activation_value: float


class TokenFeatures(ApiModel):
    token_position: int = Field(description="position in `tokens`")
    token: str
    is_special: bool
    top_features: list[TopFeature] = Field(description="features that fire, strongest first")


class TopkResponse(ApiModel):
    results: list[TokenFeatures]
    tokens: list[str]
    token_ids: list[int]
    ignored_positions: list[int] = Field(description=IGNORED)
    recipe: Recipe


class TopkBatchResponse(ApiModel):
    results: list[TopkResponse] = Field(description="one a prompt")


class SourceRequest(ApiModel):
    """Every feature of one source that fires on the prompts."""

    prompts: list[Text] = Field(description=PROMPTS)
    model: Text
    source: Text
    ignore_bos: bool = Field(True, description="leave ignored positions out")


class SourceResult(ApiModel):
    tokens: list[str]
    active_features: dict[str, list[tuple[int, float]]] = Field(
        serialization_alias="activeFeatures",
        description="by index of the feature, [position, value] wherever it fires",
    )
    tokens_is_special: list[bool]
    token_ids: list[int]
    ignored_positions: list[int] = Field(description=IGNORED)


class SourceResponse(ApiModel):
    results: list[SourceResult] = Field(description="one a prompt")
    recipe: Recipe
