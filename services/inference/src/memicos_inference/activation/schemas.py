"""Request and response models of `/v1/activation`: fields of the published clients, and further ones.

Values always cover every position, a prepended BOS included. `ignore_bos` excludes the positions that the source's
recipe ignores (a prepended BOS, and tokens whose norm exceeds the norm cut) from maximum and ranking. A `-batch`
request gives for each prompt the result that the prompt would get alone, up to rounding.
"""

from memicos_service.validation import Text
from pydantic import Field

from memicos_inference.activation.prompt_schemas import PromptBatchFields, PromptFields
from memicos_inference.http.api_model import (
    IGNORED_POSITIONS,
    MODEL,
    PREPENDED_BOS,
    RECIPE,
    RESULTS,
    SOURCE,
    TOKEN_IDS,
    TOKENS,
    TOKENS_IS_SPECIAL,
    ApiModel,
    Index,
    Number,
)
from memicos_inference.recipes import Recipe

VALUES = "Activation of the feature at each token, a prepended BOS included."


class DirectionRequest(ApiModel):
    """One direction: `source` and `index`, or `vector` and `hook`."""

    model: Text = Field(description=MODEL)
    source: Text | None = Field(None, description=f"{SOURCE} Together with `index`.")
    index: Index | None = Field(
        None,
        description="Index of the feature in `source`, from 0; a string of digits is accepted too. "
        "Together with `source`.",
    )
    vector: list[Number] | None = Field(
        None,
        description="Direction to project activations at `hook` on: as many numbers as the hook point is wide. It is "
        "not normalised. Together with `hook`.",
    )
    hook: Text | None = Field(
        None,
        description="Name of the hook point, TransformerLens' (blocks.15.hook_resid_post) or that of a module "
        "(model.layers.15). "
        "Together with `vector`.",
    )
    ignore_bos: bool = Field(
        False, description="Whether to exclude ignored positions from `max_value` and `max_value_index`."
    )


class SingleRequest(DirectionRequest, PromptFields):
    """One direction on one prompt: `source` and `index`, or `vector` and `hook`."""


class SingleBatchRequest(DirectionRequest, PromptBatchFields):
    """One direction on several prompts: `source` and `index`, or `vector` and `hook`."""


class AttributionFields(ApiModel):
    """Direct feature attribution (DFA) for a source that reads attention heads (`attn.hook_z`); null for others."""

    dfa_values: list[float] | None = Field(
        None,
        description="Contribution of each source token, through attention to it, to the feature's pre-activation at "
        "`dfa_target_index`; one number per token, 0 after that position. Null unless the source reads attention heads "
        "and the model exposes its attention pattern.",
    )
    dfa_max_value: float | None = Field(None, description="Largest of `dfa_values`; null if they are.")
    dfa_target_index: int | None = Field(
        None, description="Token position that is attributed, equal to `max_value_index`; null if `dfa_values` are."
    )


class SingleActivation(AttributionFields):
    """Activations of one feature, or projections on one vector, on one prompt."""

    values: list[float] = Field(
        description="Value at each token, a prepended BOS included: the feature's activation, or the dot product of "
        "the activation at `hook` with `vector`."
    )
    max_value: float = Field(description="Largest value; without the ignored positions if `ignore_bos` is set.")
    max_value_index: int = Field(description="First token position, from 0, with `max_value`.")


class SingleResponse(ApiModel):
    """Result for one direction on one prompt."""

    activation: SingleActivation = Field(description="Values of the feature or vector.")
    tokens: list[str] = Field(description=TOKENS)
    tokens_is_special: list[bool] = Field(description=TOKENS_IS_SPECIAL)
    token_ids: list[int] = Field(description=TOKEN_IDS)
    prepended_bos: bool = Field(False, description=PREPENDED_BOS)
    ignored_positions: list[int] = Field(description=IGNORED_POSITIONS)
    recipe: Recipe = Field(description=RECIPE)


class SingleBatchResponse(ApiModel):
    """Results for one direction on several prompts."""

    results: list[SingleResponse] = Field(description=RESULTS)


class SourceSetRequest(ApiModel):
    """The strongest features of several sources."""

    model: Text = Field(description=MODEL)
    source_set: Text = Field(description="Name of the source set, for example res-4k.")
    selected_sources: list[Text] = Field(
        default_factory=list,
        description="Ids of sources of the set; empty: every source of the set. At most `max_loaded_saes` in the "
        "capabilities' limits.",
    )
    sort_by_token_indexes: list[int] = Field(
        default_factory=list,
        description="Token positions, from 0: rank by the sum of values at these positions. Empty: rank by the "
        "maximum.",
    )
    ignore_bos: bool = Field(True, description="Whether to exclude ignored positions from maximum, sum and ranking.")
    num_results: int | None = Field(
        25,
        ge=1,
        description="Largest number of features per prompt, at most `max_num_results` in the capabilities' limits; "
        "null: 25.",
    )
    feature_filter: list[int] | None = Field(
        None,
        description="Indexes of the only features to return, inactive ones included; null: all active features. "
        "Requires that exactly one source is selected.",
    )


class AllRequest(SourceSetRequest, PromptFields):
    """The strongest features of several sources on one prompt."""


class AllBatchRequest(SourceSetRequest, PromptBatchFields):
    """The strongest features of several sources on each of several prompts."""


class FeatureActivation(AttributionFields):
    """Activations of one feature on one prompt."""

    source: str = Field(description="Id of the feature's source.")
    index: int = Field(description="Index of the feature in its source, from 0.")
    values: list[float] = Field(description=VALUES)
    sum_values: float | None = Field(
        None, description="Sum of values at `sort_by_token_indexes`, used for ranking; null if that is empty."
    )
    max_value: float = Field(description="Largest value; without the ignored positions if `ignore_bos` is set.")
    max_value_index: int = Field(description="First token position, from 0, with `max_value`.")


class SourcePositions(ApiModel):
    """Ignored positions and recipe of one source."""

    source: str = Field(description="Id of the source.")
    ignored_positions: list[int] = Field(description=IGNORED_POSITIONS)
    recipe: Recipe = Field(description=RECIPE)


class AllResponse(ApiModel):
    """Features that are active at a position that is not ignored, and those that `feature_filter` names."""

    activations: list[FeatureActivation] = Field(
        description="Features by descending maximum, or sum if `sort_by_token_indexes` is given; ties by source, then "
        "index."
    )
    tokens: list[str] = Field(description=TOKENS)
    counts: list[list[int]] | None = Field(
        None,
        description="Number of active features, [layer from 0][token position]; 0 in layers without a selected source.",
    )
    tokens_is_special: list[bool] = Field(description=TOKENS_IS_SPECIAL)
    token_ids: list[int] = Field(description=TOKEN_IDS)
    prepended_bos: bool = Field(False, description=PREPENDED_BOS)
    sources: list[SourcePositions] = Field(
        description="Ignored positions and recipe of each selected source, in the order of selection."
    )


class AllBatchResponse(ApiModel):
    """Strongest features on each of several prompts."""

    results: list[AllResponse] = Field(description=RESULTS)


class TopFeaturesRequest(ApiModel):
    """The strongest features of one source at each token."""

    model: Text = Field(description=MODEL)
    source: Text = Field(description=SOURCE)
    top_k: int | None = Field(
        5,
        ge=1,
        description="Largest number of features per token, at most `max_top_k` in the capabilities' limits; null: 5.",
    )
    ignore_bos: bool = Field(True, description="Whether to leave ignored positions out of `results`.")


class TopkRequest(TopFeaturesRequest, PromptFields):
    """The strongest features of one source at each token of a prompt."""


class TopkBatchRequest(TopFeaturesRequest, PromptBatchFields):
    """The strongest features of one source at each token of several prompts."""


class TopFeature(ApiModel):
    """A feature and its activation at a token."""

    feature_index: int = Field(description="Index of the feature in its source, from 0.")
    activation_value: float = Field(description="Activation of the feature at the token.")


class TokenFeatures(ApiModel):
    """Strongest features at one token."""

    token_position: int = Field(description="Position of the token in `tokens`, from 0.")
    token: str = Field(description="What the token adds to the text; empty if a later token completes its character.")
    is_special: bool = Field(description="Whether it is a special token of the tokenizer.")
    top_features: list[TopFeature] = Field(
        description="At most `top_k` active features by descending activation; empty if none is active."
    )


class TopkResponse(ApiModel):
    """Strongest features at each token of one prompt."""

    results: list[TokenFeatures] = Field(
        description="One entry per token, in order; ignored positions have none if `ignore_bos` is set."
    )
    tokens: list[str] = Field(description=TOKENS)
    token_ids: list[int] = Field(description=TOKEN_IDS)
    prepended_bos: bool = Field(False, description=PREPENDED_BOS)
    ignored_positions: list[int] = Field(description=IGNORED_POSITIONS)
    recipe: Recipe = Field(description=RECIPE)


class TopkBatchResponse(ApiModel):
    """Strongest features at each token of several prompts."""

    results: list[TopkResponse] = Field(description=RESULTS)


class SourceRequest(PromptBatchFields):
    """Every active feature of one source on several prompts."""

    model: Text = Field(description=MODEL)
    source: Text = Field(description=SOURCE)
    ignore_bos: bool = Field(True, description="Whether to leave ignored positions out of `activeFeatures`.")


class SourceResult(ApiModel):
    """Active features on one prompt."""

    tokens: list[str] = Field(description=TOKENS)
    active_features: dict[str, list[tuple[int, float]]] = Field(
        serialization_alias="activeFeatures",
        description="By index of the feature: [token position, activation] of each token at which it is active.",
    )
    tokens_is_special: list[bool] = Field(description=TOKENS_IS_SPECIAL)
    token_ids: list[int] = Field(description=TOKEN_IDS)
    prepended_bos: bool = Field(False, description=PREPENDED_BOS)
    ignored_positions: list[int] = Field(description=IGNORED_POSITIONS)


class SourceResponse(ApiModel):
    """Active features on each of several prompts."""

    results: list[SourceResult] = Field(description=RESULTS)
    recipe: Recipe = Field(description=RECIPE)
