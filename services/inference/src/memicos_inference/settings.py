"""Every setting of the inference server, read from the environment and an env file, with its default."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from memicos_engine.errors import LoadError
from memicos_engine.model.model_names import ModelNames
from memicos_engine.user_paths import user_path
from memicos_service import settings as service_settings
from memicos_service.connections.settings import ConnectionSettings
from memicos_service.logs import LogFormat
from memicos_service.security.host_names import ALLOWED_HOSTS, BindAddress
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

Dtype = Literal["float32", "float16", "bfloat16"]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(ConnectionSettings):
    """Settings of the server. Names without the prefix `INFERENCE_` are those of the env files known in the field.

    Relative paths are relative to the working directory. An empty value is the same as an unset one.
    """

    model_config = SettingsConfigDict(
        env_prefix="INFERENCE_",
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    model_id: str = Field(
        default="",
        validation_alias="MODEL_ID",
        description="The model that the sources belong to: its id in their neuronpedia ids, for example "
        "gpt2-small, or its hub id.",
    )
    override_model_id: str | None = Field(
        default=None,
        validation_alias="OVERRIDE_MODEL_ID",
        description="The model that is run instead, for example the instruction-tuned one of the same family.",
    )
    custom_hf_model_id: str | None = Field(
        default=None,
        validation_alias="CUSTOM_HF_MODEL_ID",
        description="Hub id or local folder that its weights are read from, if another one.",
    )
    sae_sets: Names = Field(
        default=("res-jb",),
        validation_alias="SAE_SETS",
        description="JSON list of sources: sets by name, saelens:<release>[/<sae_id>], path:<folder>, "
        "hf:<owner>/<name>[/<folder>], neurons; [] runs the model without sources.",
    )
    include_sae: Names = Field(
        default=(),
        validation_alias="INCLUDE_SAE",
        description="JSON list of regular expressions: only source ids that match one of them are served.",
    )
    exclude_sae: Names = Field(
        default=(),
        validation_alias="EXCLUDE_SAE",
        description="JSON list of regular expressions: source ids that match one of them are not served.",
    )
    sae_folder: Path | None = Field(
        default=None,
        validation_alias="SAE_FOLDER",
        description="Folder of local SAEs, each in <folder>/<source id>; other sets come from SAELens' directory "
        "and the hub.",
    )
    model_dtype: Dtype = Field(
        default="float32", validation_alias="MODEL_DTYPE", description="float32, float16 or bfloat16."
    )
    sae_dtype: Dtype = Field(
        default="float32", validation_alias="SAE_DTYPE", description="float32, float16 or bfloat16."
    )
    device: str = Field(
        default="auto",
        validation_alias="DEVICE",
        pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$",
        description="auto, cpu, mps, cuda or cuda:N; auto takes cuda, then mps, then cpu.",
    )
    memory_check: bool = Field(
        default=True,
        validation_alias="INFERENCE_MEMORY_CHECK",
        description="0: load the model even if its weights and its largest source need more memory than is available.",
    )
    token_limit: int = Field(
        default=200, ge=1, validation_alias="TOKEN_LIMIT", description="Largest number of tokens of a prompt."
    )
    max_loaded_saes: int = Field(
        default=300,
        ge=1,
        validation_alias="MAX_LOADED_SAES",
        description="Largest number of SAEs in memory; the least recently used one is evicted for another.",
    )
    secret: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("INFERENCE_SECRET", "SECRET"),
        description="Secret that requests send as X-SECRET-KEY; unset: every client that can connect is served.",
    )
    hf_token: SecretStr | None = Field(
        default=None, validation_alias="HF_TOKEN", description="Token for gated models of the hub."
    )

    sae_bytes: int = Field(
        default=8 * 1024**3,
        ge=1,
        validation_alias="INFERENCE_SAE_BYTES",
        description="Memory for SAEs, in bytes; the least recently used ones are evicted.",
    )

    sae_roots: Names = Field(
        default=(),
        validation_alias="INFERENCE_SAE_ROOTS",
        description="JSON list of folders, and of repositories as hf:owner or hf:owner/name, from which sources may be "
        "added while the server runs; []: none.",
    )

    client_key: SecretStr | None = Field(
        default=None,
        validation_alias="INFERENCE_CLIENT_KEY",
        description="Where INFERENCE_SECRET is unset: key that requests send as X-Client-Key to name their client in "
        "X-Client-ID, as the webapp does for each visitor; unset: a client is an address.",
    )
    allowed_hosts: str = Field(default="", validation_alias="INFERENCE_ALLOWED_HOSTS", description=ALLOWED_HOSTS)
    host: BindAddress = Field(default="127.0.0.1", validation_alias="INFERENCE_HOST", description="Address to bind.")
    port: int = Field(default=5002, ge=1, le=65535, validation_alias="INFERENCE_PORT", description="Port to bind.")
    max_completion_tokens: int = Field(
        default=1024,
        ge=1,
        validation_alias="INFERENCE_MAX_COMPLETION_TOKENS",
        description="Largest number of tokens that a request may generate.",
    )
    kv_bytes: int = Field(
        default=2 * 1024**3,
        ge=1,
        validation_alias="INFERENCE_KV_BYTES",
        description="Memory for keys and values of all running generations, in bytes.",
    )
    text_cache_bytes: int = Field(
        default=16 * 1024**2,
        ge=0,
        validation_alias="INFERENCE_TEXT_CACHE_BYTES",
        description="Memory of the cache of unsteered texts, in bytes; 0: no cache.",
    )
    residual_cache_bytes: int = Field(
        default=256 * 1024**2,
        ge=0,
        validation_alias="INFERENCE_RESIDUAL_CACHE_BYTES",
        description="Device memory of the cache of activations of earlier prompts, in bytes; 0: no cache.",
    )
    max_rows: int = Field(
        default=32,
        ge=1,
        validation_alias="INFERENCE_MAX_ROWS",
        description="Largest number of texts generated at a time, STEERED and DEFAULT being two; others wait.",
    )
    slice_tokens: int = Field(
        default=192,
        ge=1,
        validation_alias="INFERENCE_SLICE_TOKENS",
        description="Largest number of prompt tokens that are run between two tokens of the texts that are being "
        "generated; eight times as many while none is.",
    )
    wait_seconds: float = Field(
        default=60,
        gt=0,
        allow_inf_nan=False,
        validation_alias="INFERENCE_WAIT_SECONDS",
        description="Longest time that a request waits for the model, or for the load of a source; then the response "
        "is 503.",
    )
    max_waiting: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_WAITING",
        description="Largest number of requests that wait for the model; the response to others is 503.",
    )
    max_prompts: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_PROMPTS",
        description="Largest number of prompts of a request that takes several.",
    )
    batch_tokens: int = Field(
        default=4096,
        ge=1,
        validation_alias="INFERENCE_BATCH_TOKENS",
        description="Largest number of tokens of several prompts, each padded to the longest; TOKEN_LIMIT for one.",
    )
    capture_bytes: int = Field(
        default=2 * 1024**3,
        ge=1,
        validation_alias="INFERENCE_CAPTURE_BYTES",
        description="Memory for activations of all requests from capture to response, in bytes; a request that needs "
        "more alone is refused, others wait.",
    )
    max_values: int = Field(
        default=5_000_000,
        ge=1,
        validation_alias="INFERENCE_MAX_VALUES",
        description="Largest number of activations in a response.",
    )
    max_hooks: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_HOOKS",
        description="Largest number of hook points of a request to /v1/activation/raw.",
    )
    max_num_results: int = Field(
        default=1000,
        ge=1,
        validation_alias="INFERENCE_MAX_NUM_RESULTS",
        description="Largest number of results of /v1/activation/all and /v1/util/sae-topk-by-decoder-cossim.",
    )
    max_top_k: int = Field(
        default=100,
        ge=1,
        validation_alias="INFERENCE_MAX_TOP_K",
        description="Largest number of features per token of /v1/activation/topk-by-token.",
    )
    max_steered: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_STEERED",
        description="Largest number of features or vectors of a steering request.",
    )
    selftest_seconds: float = Field(
        default=10,
        ge=0,
        allow_inf_nan=False,
        validation_alias="INFERENCE_SELFTEST_SECONDS",
        description="Time limit of the self-test at the start: no check begins after it; 0: no self-test, also none "
        "of sources.",
    )
    selftest_idle_seconds: float = Field(
        default=5,
        ge=0,
        allow_inf_nan=False,
        validation_alias="INFERENCE_SELFTEST_IDLE_SECONDS",
        description="A check that the time limit left out is run when no request has been handled for this long; 0: at "
        "the next start.",
    )
    selftest_bytes: int = Field(
        default=1024**3,
        ge=1,
        validation_alias="INFERENCE_SELFTEST_BYTES",
        description="CPU memory for a float32 copy of a block in the self-test at the start; larger ones are skipped.",
    )
    probes: Path = Field(
        default=Path(".data/probes"),
        validation_alias="INFERENCE_PROBES",
        description="Folder of the metrics recorded when sources were added, which the self-test compares with.",
    )
    selftest_results: Path = Field(
        default=Path(".data/selftest"),
        validation_alias="INFERENCE_SELFTEST_RESULTS",
        description="Folder of passed results of the self-test. The next start with the same weights, code, libraries "
        "and hardware runs only its cheap part.",
    )
    allow_unverified: bool = Field(
        default=False,
        validation_alias="ALLOW_UNVERIFIED",
        description="1: answer requests although they depend on a check that failed.",
    )
    log_format: LogFormat = Field(
        default="text",
        validation_alias="INFERENCE_LOG_FORMAT",
        description="text, or json: one object per line.",
    )
    log_requests: bool = Field(
        default=True,
        validation_alias="INFERENCE_LOG_REQUESTS",
        description="0: log only requests that failed with an internal error.",
    )
    body_bytes: int = Field(
        default=4_000_000,
        gt=0,
        validation_alias="INFERENCE_BODY_BYTES",
        description="Largest request body, in bytes.",
    )

    @property
    def models(self) -> ModelNames:
        return ModelNames(self.model_id, self.override_model_id, self.custom_hf_model_id)

    @field_validator("sae_sets", "include_sae", "exclude_sae", "sae_roots", mode="before")
    @classmethod
    def _json_list(cls, value: Any) -> Any:
        return json_list(value) if isinstance(value, str) else value

    @field_validator("sae_roots")
    @classmethod
    def _are_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for root in value:
            try:
                user_path(root)
            except LoadError as error:
                raise ValueError(str(error).rstrip(".")) from None
        return value

    @field_validator("include_sae", "exclude_sae")
    @classmethod
    def _compiles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return value

    @field_validator("model_dtype", "sae_dtype", mode="before")
    @classmethod
    def _short_dtype(cls, value: Any) -> Any:
        short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
        return short.get(value, value) if isinstance(value, str) else value


def json_list(value: str) -> tuple[str, ...]:
    """Parse a JSON list of strings. Raises ValueError for anything else."""
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError('should be a JSON list of strings, for example ["res-jb"]')
    return tuple(items)


def read(env_file: Path | None = None) -> Settings:
    """Settings from the environment; `env_file` fills in what the environment lacks.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file cannot be read, or is not a list of NAME=value.
    """
    return service_settings.read(Settings, env_file)
