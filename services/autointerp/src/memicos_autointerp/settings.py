"""Every setting of autointerp, read from the environment (and an env file), with its default."""

from pathlib import Path
from typing import Any, Literal, Self

from memicos_autointerp_core.providers.profile import BaseUrl, normalize_base_url
from memicos_autointerp_core.providers.settings import DEFAULT_PROFILE, Key, ProviderSettings
from memicos_embeddings.registry import EmbedderConfig
from memicos_service import settings as service_settings
from memicos_service.connections.settings import ConnectionSettings
from memicos_service.logs import LogFormat
from memicos_service.security.host_names import ALLOWED_HOSTS, BindAddress
from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

__all__ = ["DEFAULT_PROFILE", "Settings", "read"]


class Settings(ProviderSettings, ConnectionSettings):
    """Settings of autointerp. A field `x` is set by `AUTOINTERP_X`, unless it names another variable."""

    # of both bases the last one's would hold
    model_config = ProviderSettings.model_config

    host: BindAddress = Field("127.0.0.1", description="Address to bind.")
    port: int = Field(5003, ge=1, le=65535, description="Port to bind.")
    allowed_hosts: str = Field("", description=ALLOWED_HOSTS)
    secret: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("AUTOINTERP_SECRET", "SECRET"),
        description="Secret that requests send as X-SECRET-KEY; unset: none is required.",
    )

    openrouter_url: BaseUrl | None = Field(
        "https://openrouter.ai/api/v1",
        description="Endpoint that a request's openrouter_key is sent to; empty: such keys are refused.",
    )
    allowed_base_urls: str = Field(
        "https://openrouter.ai/api/v1",
        description="Other endpoints, separated by commas, that a request may name as base_url with a key of its own.",
    )

    answers_file: Path | None = Field(
        None,
        description="SQLite file that stores the answers to the server's own keys, so that no request is paid twice; "
        "empty: none is stored.",
    )

    embedder: Literal["minilm", "openai"] = Field(
        "minilm", description="Embedder of scores by embeddings: all-MiniLM-L6-v2 on this machine, or OpenAI's."
    )
    embedder_threads: int = Field(2, ge=1, description="Threads of the local embedder.")
    openai_api_key: Key = Field(
        None,
        validation_alias="OPENAI_API_KEY",
        description="Key for the embedder openai, sent to AUTOINTERP_OPENAI_BASE_URL only.",
    )
    openai_base_url: BaseUrl = Field("https://api.openai.com/v1", description="Endpoint of the embedder openai.")

    max_activations: int = Field(64, ge=1, description="Most texts in a request.")
    max_characters: int = Field(200_000, ge=1, description="Most characters of all texts in a request.")
    body_bytes: int = Field(4_000_000, gt=0, description="Largest request body.")
    log_format: LogFormat = Field("text", description="text, or json: one JSON object per line.")
    log_requests: bool = Field(True, description="0: log only requests that failed with an internal error.")

    @field_validator(
        "openrouter_url",
        "openai_api_key",
        "secret",
        "answers_file",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return service_settings.empty_is_unset(value)

    @field_validator("allowed_base_urls")
    @classmethod
    def _are_urls(cls, value: str) -> str:
        return ",".join(normalize_base_url(url) for url in value.split(",") if url.strip())

    @model_validator(mode="after")
    def _embedder_has_its_key(self) -> Self:
        if self.embedder == "openai" and self.openai_api_key is None:
            raise ValueError("AUTOINTERP_EMBEDDER is openai, which needs OPENAI_API_KEY")
        return self

    @property
    def embedder_config(self) -> EmbedderConfig:
        return EmbedderConfig(
            preferred=self.embedder,
            minilm_threads=self.embedder_threads,
            openai_api_key=self.openai_api_key if self.embedder == "openai" else None,
            openai_base_url=self.openai_base_url,
            openai_timeout_seconds=self.timeout_seconds,
        )

    @property
    def other_base_urls(self) -> set[str]:
        return set(self.allowed_base_urls.split(",")) - {""}


def read(env_file: Path | None = None) -> Settings:
    """Settings from the environment; `env_file` supplies what the environment does not set.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file is not an env file.
    """
    return service_settings.read(Settings, env_file)
