"""The wire of `/health` and `/v1/capabilities`."""

from typing import Literal

from pydantic import Field

from memicos_inference.http.api_model import ApiModel
from memicos_inference.recipes import Recipe


class SelftestCheck(ApiModel):
    """Two ways to the same numbers."""

    name: str
    passed: bool | None = Field(description="null: nothing was compared; `words` say why")
    measured: float | None = Field(description="relative RMS of the difference; null also where it is not finite")
    tolerance: float
    words: str = Field(description="what was compared, or why nothing was")
    source: str | None = Field(description="the source that it is about; null: the model")
    endpoints: list[str] = Field(description="beginnings of the paths that depend on it, for every source")


class Selftest(ApiModel):
    """Whether the numbers are right. What a check that failed is needed for is answered 503, cause `unverified`."""

    state: Literal["waiting", "off", "passed", "failed"] = Field(
        description="waiting: the model loads; off: none is run; sources are checked when they are first used"
    )
    allowed: bool = Field(description="answered all the same: ALLOW_UNVERIFIED is set")
    seconds: float = Field(description="time that the checks took at the start")
    checks: list[SelftestCheck]


class HealthResponse(ApiModel):
    """Answered at once, also while the model loads."""

    status: Literal["healthy"] = Field(description="the server is live")
    ready: bool = Field(description="model and sources are loaded, requests are answered")
    state: Literal["loading", "ready", "failed"]
    progress: str = Field(description="what is being loaded, or why loading failed")
    progress_fraction: float = Field(ge=0, le=1, description="share of the loading that is done")
    selftest: Selftest


class SourceInfo(ApiModel):
    """An SAE that this server can run."""

    id: str = Field(description="for example 15-res-4k")
    source_set: str
    hook: str = Field(description="TransformerLens' name of the hook point that it reads")
    steer_hook: str = Field(description="where its features are steered: of a transcoder its output, else `hook`")
    layer: int
    d_in: int
    d_sae: int = Field(description="number of features")
    architecture: str
    prepend_bos: bool
    context_size: int | None = Field(description="tokens of a training window; null where unknown")
    ignored_positions: list[int] = Field(
        description="positions that values mean nothing at, beside those above norm_cut"
    )
    norm_cut: float | None = Field(
        description="positions whose activation has a larger norm were left out of training; null: none were"
    )
    loaded: bool = Field(description="in memory now; others are loaded when asked for")
    recipe: Recipe = Field(description="as answers with its values have it")


class UnsteerableHook(ApiModel):
    """A hook point that cannot be steered in this model."""

    hook: str
    reason: str


class UnavailableSource(ApiModel):
    """A source of the settings that cannot be read or does not fit the model."""

    id: str = Field(description="its place where its id could not be found out")
    error: str = Field(description="why; requests for it get the same words")


class Limits(ApiModel):
    """Beyond them a request is refused; each is a setting of the server."""

    token_limit: int = Field(description="tokens of a prompt, a prepended BOS included")
    context: int = Field(description="tokens of prompt and completion together")
    max_completion_tokens: int
    max_prompts: int = Field(description="prompts of a request that takes several")
    batch_tokens: int = Field(description="tokens of several prompts, each padded to the longest")
    capture_bytes: int = Field(
        description="memory in bytes for activations of all requests, from their capture until their answers"
    )
    max_values: int = Field(description="activations of an answer")
    max_hooks: int = Field(description="hook points that a request for raw activations names")
    max_num_results: int
    max_top_k: int
    max_steered: int = Field(description="features or vectors in one steering request")
    max_logprobs: int
    max_loaded_saes: int
    sae_bytes: int = Field(description="memory of the SAEs that are loaded at a time")
    max_waiting: int = Field(description="requests that wait for the model")
    body_bytes: int


class Limitation(ApiModel):
    """What an endpoint can't do, or does otherwise than its name says, on this server."""

    endpoint: str
    cannot: str
    why: str


class CapabilitiesResponse(ApiModel):
    """What this server runs and how far it goes."""

    model: str = Field(description="the id that requests name as `model`")
    accepted_models: list[str] = Field(description="every id that requests may name as `model`")
    weights: str = Field(description="folder name or hub id that the weights were loaded from")
    origin: str = Field(description="what the weights are, for example whether they were dequantised")
    dtype: str
    sae_dtype: str
    device: str
    num_layers: int
    d_model: int
    d_vocab: int
    chat_template: bool = Field(description="false: chats are rendered as ChatML")
    sae_sets: list[str]
    sources: list[SourceInfo]
    unavailable_sources: list[UnavailableSource]
    steer_methods: list[str]
    steer_hooks: list[str] = Field(description="hook points that can be steered, N being any layer")
    unsteerable_hooks: list[UnsteerableHook] = Field(description="those that can be in other architectures")
    endpoints: list[str]
    limitations: list[Limitation]
    limits: Limits
    selftest: Selftest
