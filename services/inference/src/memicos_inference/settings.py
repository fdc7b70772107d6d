"""Every setting of the inference server, read from the environment and an env file, with its default."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from memicos_engine.model.model_names import ModelNames
from memicos_service import settings as service_settings
from memicos_service.logs import LogFormat
from memicos_service.variable_names import ServiceSettings
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

Dtype = Literal["float32", "float16", "bfloat16"]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(ServiceSettings):
    """Settings of the server: the keys of the field's known env files, and `INFERENCE_X` for those of our own.

    Relative paths are relative to the folder that the server is started in. An empty value is the same as none.
    """

    model_config = SettingsConfigDict(
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
        description="Where its weights come from: a hub id or a local folder, where that is another place.",
    )
    sae_sets: Names = Field(
        default=("res-jb",),
        validation_alias="SAE_SETS",
        description="JSON list of sources: sets by name, path:<folder>, hf:<owner>/<name>[/<folder>], neurons; "
        "[] runs the model without sources.",
    )
    include_sae: Names = Field(
        default=(),
        validation_alias="INCLUDE_SAE",
        description="JSON list of regular expressions: only source ids that one of them is found in.",
    )
    exclude_sae: Names = Field(
        default=(),
        validation_alias="EXCLUDE_SAE",
        description="JSON list of regular expressions: no source ids that one of them is found in.",
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
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, mps, cuda or cuda:N; auto takes cuda, then mps, then cpu.",
    )
    token_limit: int = Field(default=200, ge=1, validation_alias="TOKEN_LIMIT", description="Most tokens of a prompt.")
    max_loaded_saes: int = Field(
        default=300,
        ge=1,
        validation_alias="MAX_LOADED_SAES",
        description="Most SAEs in memory; the one used longest ago makes room for another.",
    )
    secret: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("INFERENCE_SECRET", "SECRET"),
        description="What requests send as X-SECRET-KEY; unset: the server is open to whoever reaches it.",
    )
    hf_token: SecretStr | None = Field(
        default=None, validation_alias="HF_TOKEN", description="Token for gated models of the hub."
    )

    sae_bytes: int = Field(
        default=8 * 1024**3,
        ge=1,
        validation_alias="INFERENCE_SAE_BYTES",
        description="Most memory of the SAEs that are loaded at a time; the one used longest ago makes room.",
    )

    sae_roots: Names = Field(
        default=(),
        validation_alias="INFERENCE_SAE_ROOTS",
        description="JSON list of folders, and of repositories as hf:owner or hf:owner/name, that sources may be "
        "added from while the server runs; [] forbids it.",
    )

    host: str = Field(default="127.0.0.1", validation_alias="INFERENCE_HOST", description="Address to bind.")
    port: int = Field(default=5002, ge=1, le=65535, validation_alias="INFERENCE_PORT", description="Port to bind.")
    max_completion_tokens: int = Field(
        default=1024,
        ge=1,
        validation_alias="INFERENCE_MAX_COMPLETION_TOKENS",
        description="Most tokens that a request may have generated.",
    )
    kv_bytes: int = Field(
        default=2 * 1024**3,
        ge=1,
        validation_alias="INFERENCE_KV_BYTES",
        description="Memory for keys and values of all generations that run at a time.",
    )
    text_cache_bytes: int = Field(
        default=16 * 1024**2,
        ge=0,
        validation_alias="INFERENCE_TEXT_CACHE_BYTES",
        description="Memory for texts that were written unsteered, which are not written again; 0 keeps none.",
    )
    residual_cache_bytes: int = Field(
        default=256 * 1024**2,
        ge=0,
        validation_alias="INFERENCE_RESIDUAL_CACHE_BYTES",
        description="Memory, of the model's device, for activations of earlier prompts; 0 keeps none.",
    )
    max_rows: int = Field(
        default=32,
        ge=1,
        validation_alias="INFERENCE_MAX_ROWS",
        description="Texts that are written at a time, STEERED and DEFAULT being two; others wait.",
    )
    slice_tokens: int = Field(
        default=192,
        ge=1,
        validation_alias="INFERENCE_SLICE_TOKENS",
        description="Most tokens of prompts that are run between two tokens of texts that are being written; eight "
        "times as many while none is.",
    )
    wait_seconds: float = Field(
        default=60,
        gt=0,
        allow_inf_nan=False,
        validation_alias="INFERENCE_WAIT_SECONDS",
        description="Longest that a request waits for its turn; after that it is answered 503.",
    )
    max_waiting: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_WAITING",
        description="Requests that may wait for the model; more are answered 503.",
    )
    max_prompts: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_PROMPTS",
        description="Most prompts of a request that takes several.",
    )
    batch_tokens: int = Field(
        default=4096,
        ge=1,
        validation_alias="INFERENCE_BATCH_TOKENS",
        description="Most tokens of several prompts, each padded to the longest; one alone may have TOKEN_LIMIT.",
    )
    capture_bytes: int = Field(
        default=2 * 1024**3,
        ge=1,
        validation_alias="INFERENCE_CAPTURE_BYTES",
        description="Memory for activations of all requests from their capture until their answers; a request that "
        "needs more alone is refused, others wait.",
    )
    max_values: int = Field(
        default=5_000_000,
        ge=1,
        validation_alias="INFERENCE_MAX_VALUES",
        description="Most activations of an answer.",
    )
    max_hooks: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_HOOKS",
        description="Most hook points that a request of /v1/activation/raw may name.",
    )
    max_num_results: int = Field(
        default=1000,
        ge=1,
        validation_alias="INFERENCE_MAX_NUM_RESULTS",
        description="Most results of /v1/activation/all and of /v1/util/sae-topk-by-decoder-cossim.",
    )
    max_top_k: int = Field(
        default=100,
        ge=1,
        validation_alias="INFERENCE_MAX_TOP_K",
        description="Most features a token of /v1/activation/topk-by-token.",
    )
    max_steered: int = Field(
        default=64,
        ge=1,
        validation_alias="INFERENCE_MAX_STEERED",
        description="Most features or vectors of a steering request.",
    )
    selftest_seconds: float = Field(
        default=10,
        ge=0,
        allow_inf_nan=False,
        validation_alias="INFERENCE_SELFTEST_SECONDS",
        description="After so long no further check begins of those that are run at the start; 0 runs none, nor any "
        "of a source.",
    )
    selftest_bytes: int = Field(
        default=1024**3,
        ge=1,
        validation_alias="INFERENCE_SELFTEST_BYTES",
        description="Memory on the CPU for a float32 copy of a block; larger ones are not compared at the start.",
    )
    probes: Path = Field(
        default=Path(".data/probes"),
        validation_alias="INFERENCE_PROBES",
        description="Folder of what sources gave on the probe's text when they were added; the self-test compares.",
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
        description="1 answers requests that depend on a check which failed.",
    )
    log_format: LogFormat = Field(
        default="text",
        validation_alias="INFERENCE_LOG_FORMAT",
        description="text, or json: an object a line, for programs.",
    )
    log_requests: bool = Field(
        default=True,
        validation_alias="INFERENCE_LOG_REQUESTS",
        description="0 logs of requests only those that failed on our side.",
    )
    body_bytes: int = Field(
        default=4_000_000,
        gt=0,
        validation_alias="INFERENCE_BODY_BYTES",
        description="Largest request body.",
    )

    @property
    def models(self) -> ModelNames:
        return ModelNames(self.model_id, self.override_model_id, self.custom_hf_model_id)

    @field_validator("sae_sets", "include_sae", "exclude_sae", "sae_roots", mode="before")
    @classmethod
    def _json_list(cls, value: Any) -> Any:
        return json_list(value) if isinstance(value, str) else value

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
    """Raises ValueError where it is something else."""
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError('should be a JSON list of strings, for example ["res-jb"]')
    return tuple(found)


def read(env_file: Path | None = None) -> Settings:
    """Settings from the environment; `env_file` fills in what the environment lacks.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file cannot be read, or is not a list of NAME=value.
    """
    return service_settings.read(Settings, env_file)
