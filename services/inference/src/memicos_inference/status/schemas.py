"""Response models of `/health` and `/v1/capabilities`."""

from typing import Literal

from pydantic import Field

from memicos_inference.http.api_model import ApiModel
from memicos_inference.recipes import Recipe


class SelftestCheck(ApiModel):
    """Comparison of two independent computations of the same numbers."""

    name: str = Field(description="Name of the check, for example blocks.")
    passed: bool | None = Field(
        description="Whether the check passed; null: nothing was compared, for the reason in `words`."
    )
    measured: float | None = Field(
        description="Relative RMS of the difference; null if nothing was compared or it is not finite."
    )
    tolerance: float = Field(description="Largest `measured` that passes.")
    words: str = Field(description="What was compared, or why nothing was.")
    source: str | None = Field(description="Id of the source that was checked; null: the model.")
    endpoints: list[str] = Field(description="Prefixes of the endpoint paths that depend on this check.")
    measured_at: str | None = Field(
        None,
        description="Time (ISO 8601, UTC) at which an earlier start with the same weights, code, libraries and "
        "hardware measured it; null: this start did.",
    )


class Selftest(ApiModel):
    """Result of the self-test. Endpoints that depend on a failed check respond 503 with cause `unverified`."""

    state: Literal["waiting", "off", "passed", "failed"] = Field(
        description="`waiting`: the model is loading; `off`: no check is run; else whether all passed. Sources are "
        "checked on first use."
    )
    allowed: bool = Field(description="Whether endpoints respond in spite of failed checks (setting ALLOW_UNVERIFIED).")
    seconds: float = Field(description="Duration of the checks at the start, in seconds.")
    checks: list[SelftestCheck] = Field(description="Checks so far: of the model, and of sources that were used.")
    unverified_beyond: int | None = Field(
        None,
        description="Tokens of the longest text whose values are verified: beyond it a part of the model (a sliding "
        "window, for example) computes differently, and no check of that length has passed. null: no text that the "
        "server accepts is longer than what is verified, or the model is loading.",
    )


class HealthResponse(ApiModel):
    """State of the server. Available while the model loads."""

    status: Literal["healthy"] = Field(description="The server process responds.")
    ready: bool = Field(description="Whether the model is loaded and requests are served.")
    state: Literal["loading", "ready", "failed"] = Field(description="State of the model's loading.")
    progress: str = Field(description="What is being loaded, or why loading failed.")
    progress_fraction: float = Field(ge=0, le=1, description="Completed fraction of the loading, from 0 to 1.")
    load: int = Field(
        0, description="Requests in the queue and texts being generated, of all clients; for load balancing."
    )
    selftest: Selftest = Field(description="Result of the self-test.")


class SourceInfo(ApiModel):
    """A source (an SAE, or the model's neurons) that this server can run."""

    id: str = Field(description="Id of the source, for example 15-res-4k.")
    source_set: str = Field(description="Name of its source set, for example res-4k.")
    hook: str = Field(description="TransformerLens name of the hook point that it reads.")
    steer_hook: str = Field(
        description="Hook point at which its features are steered: the output of a transcoder, else `hook`."
    )
    layer: int = Field(description="Layer of `hook`, from 0.")
    d_in: int = Field(description="Width of `hook`, the number of inputs.")
    d_sae: int = Field(description="Number of features.")
    architecture: str = Field(description="Architecture, for example standard, jumprelu, topk or neurons.")
    prepend_bos: bool = Field(description="Whether BOS is prepended to prompts, as in training.")
    context_size: int | None = Field(description="Tokens per training context; null if unknown.")
    ignored_positions: list[int] = Field(
        description="Token positions, from 0, at which values have no meaning in any prompt; `norm_cut` adds others."
    )
    norm_cut: float | None = Field(
        description="Positions whose activation has a larger L2 norm were excluded from training; null: none were."
    )
    loaded: bool = Field(description="Whether its weights are in memory; others are read on first use.")
    recipe: Recipe = Field(description="Recipe, as in responses with its values.")


class UnsteerableHook(ApiModel):
    """A hook point that cannot be steered in this model."""

    hook: str = Field(description="TransformerLens name of the hook point, with N for any layer.")
    reason: str = Field(description="Why it cannot be steered.")


class UnavailableSource(ApiModel):
    """A source of the settings that cannot be read or does not fit the model."""

    id: str = Field(description="Id of the source, or its location if the id is unknown.")
    error: str = Field(description="Why it is unavailable; requests for it get the same message.")


class Limits(ApiModel):
    """Limits of a request, from the server's settings and the model. A request beyond them is refused."""

    token_limit: int = Field(description="Tokens per prompt, a prepended BOS included.")
    max_text_characters: int | None = Field(
        None,
        description="Characters per prompt: more are refused before they are tokenised, as they exceed `token_limit` "
        "tokens of the longest token's length; null: an earlier version, which tokenises texts of any length.",
    )
    context: int = Field(description="Tokens of prompt and completion together.")
    max_completion_tokens: int = Field(description="Generated tokens per type in a steering request.")
    max_prompts: int = Field(description="Prompts per request.")
    batch_tokens: int = Field(description="Tokens of all prompts of a request, each padded to the longest.")
    capture_bytes: int = Field(
        description="Memory for captured activations of all requests until they are answered, in bytes."
    )
    max_values: int = Field(description="Activation values per response.")
    max_hooks: int = Field(description="Hook points per request for raw activations.")
    max_num_results: int = Field(description="Largest `num_results` of a request.")
    max_top_k: int = Field(description="Largest `top_k` of a request.")
    max_steered: int = Field(description="Features or vectors per steering request.")
    max_logprobs: int = Field(description="Largest `n_logprobs` of a steering request.")
    max_loaded_saes: int = Field(description="Sources in memory at a time, and so per request.")
    sae_bytes: int = Field(description="Memory for the weights of sources at a time, in bytes.")
    max_waiting: int = Field(description="Requests in the queue for the model.")
    body_bytes: int = Field(description="Size of a request body, in bytes.")


class Limitation(ApiModel):
    """What an endpoint does not support, or does differently than its name suggests, on this server."""

    endpoint: str = Field(description="Path of the endpoint.")
    cannot: str = Field(description="What it does not support.")
    why: str = Field(description="The reason.")


class CapabilitiesResponse(ApiModel):
    """Model, sources, endpoints and limits of this server."""

    model: str = Field(description="Id of the model, as requests name it.")
    accepted_models: list[str] = Field(description="Every id that requests may give as `model`.")
    weights: str = Field(description="Folder name or hub id that the weights were loaded from.")
    origin: str = Field(description="Origin of the weights, for example whether they were dequantised.")
    dtype: str = Field(description="Data type that the model computes in, for example float32.")
    sae_dtype: str = Field(description="Data type that sources compute in, for example float32.")
    device: str = Field(description="Device that the model runs on, for example cpu or cuda:0.")
    num_layers: int = Field(description="Number of layers.")
    d_model: int = Field(description="Width of the residual stream.")
    d_vocab: int = Field(description="Number of tokens in the vocabulary.")
    chat_template: bool = Field(
        description="Whether the model has a chat template; without one chats are rendered as ChatML."
    )
    sae_sets: list[str] = Field(description="Names of the source sets.")
    sources: list[SourceInfo] = Field(description="Sources that can be run.")
    unavailable_sources: list[UnavailableSource] = Field(
        description="Sources of the settings that cannot be run, and why."
    )
    steer_methods: list[str] = Field(description="Values of `steer_method` that steering requests may give.")
    steer_hooks: list[str] = Field(description="Hook points that can be steered, with N for any layer.")
    unsteerable_hooks: list[UnsteerableHook] = Field(
        description="Hook points that cannot be steered in this model, but can in others."
    )
    endpoints: list[str] = Field(description="Paths of the endpoints.")
    limitations: list[Limitation] = Field(description="What endpoints do not support on this server, and why.")
    limits: Limits = Field(description="Limits of a request.")
    selftest: Selftest = Field(description="Result of the self-test.")
