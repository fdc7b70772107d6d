"""The wire of `/v1/activation`: names and semantics of the field's published clients, and fields of our own.

Values always cover every position, a prepended BOS included. `ignore_bos` leaves the positions that the source's
recipe ignores (a prepended BOS, and tokens with an outlying norm where the recipe cuts them) out of maximum and
ranking.
"""

from pydantic import Field

from memicos_inference.wire import Index, Number, Text, Wire


class SingleRequest(Wire):
    """One direction on one prompt: `source` and `index`, or `vector` and `hook`."""

    prompt: Text
    model: Text
    source: Text | None = None
    index: Index | None = None
    vector: list[Number] | None = Field(
        None, description="as it is, not normalised; no BOS is prepended unless the tokenizer does so itself"
    )
    hook: Text | None = Field(None, description="for example blocks.15.hook_resid_post")
    ignore_bos: bool = Field(False, description="leave ignored positions out of max_value")


class SingleActivation(Wire):
    values: list[float] = Field(description="one a token")
    max_value: float
    max_value_index: int = Field(description="the first position with max_value")


class SingleResponse(Wire):
    activation: SingleActivation
    tokens: list[str]
    tokens_is_special: list[bool]
    token_ids: list[int]
    ignored_positions: list[int] = Field(
        description="positions where the value means nothing: the source was not trained on such"
    )


class AllRequest(Wire):
    """The strongest features of several sources on one prompt."""

    prompt: Text
    model: Text
    source_set: Text
    selected_sources: list[Text] = Field(default_factory=list, description="source ids; empty: every source of the set")
    sort_by_token_indexes: list[int] = Field(
        default_factory=list, description="rank by the sum of values at these positions, not by the maximum"
    )
    ignore_bos: bool = True
    num_results: int | None = Field(25, ge=1, description="at most so many; null: 25")
    feature_filter: list[int] | None = Field(
        None, description="only these features of the one selected source, also where they do not fire"
    )


class FeatureActivation(Wire):
    source: str
    index: int
    values: list[float] = Field(description="one a token")
    sum_values: float | None = Field(
        None, description="what was ranked by, where sort_by_token_indexes was given; null otherwise"
    )
    max_value: float = Field(description="over the positions that count")
    max_value_index: int


class SourcePositions(Wire):
    source: str
    ignored_positions: list[int] = Field(
        description="positions where values mean nothing: the source was not trained on such"
    )


class AllResponse(Wire):
    """Only features that fire on a position that counts are results, unless feature_filter names them."""

    activations: list[FeatureActivation] = Field(description="strongest first; ties by source, then index")
    tokens: list[str]
    counts: list[list[int]] | None = Field(
        None, description="features that fire, by layer (from 0) and token; layers not asked for have 0"
    )
    tokens_is_special: list[bool]
    token_ids: list[int]
    sources: list[SourcePositions]


class TopkRequest(Wire):
    """The strongest features of one source at each token."""

    prompt: Text
    model: Text
    source: Text
    top_k: int | None = Field(5, ge=1, description="at most so many a token; null: 5")
    ignore_bos: bool = Field(True, description="leave ignored positions out of results")


class TopFeature(Wire):
    feature_index: int
    activation_value: float


class TokenFeatures(Wire):
    token_position: int = Field(description="position in `tokens`")
    token: str
    is_special: bool
    top_features: list[TopFeature] = Field(description="features that fire, strongest first")


class TopkResponse(Wire):
    results: list[TokenFeatures]
    tokens: list[str]
    token_ids: list[int]
    ignored_positions: list[int] = Field(
        description="positions where values mean nothing: the source was not trained on such"
    )
