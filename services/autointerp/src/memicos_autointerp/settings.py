"""Every setting of autointerp, read from the environment (and an env file), with its default."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from memicos_autointerp_core.explainers.interface import ExplainerOptions
from memicos_autointerp_core.providers.client import ProviderOptions
from memicos_autointerp_core.providers.profile import (
    BaseUrl,
    Profile,
    ProfileError,
    check_key,
    normalize_base_url,
    read_profiles,
)
from memicos_embeddings.registry import EmbedderConfig
from memicos_service import settings as service_settings
from memicos_service.connections.settings import ConnectionSettings
from memicos_service.host_names import ALLOWED_HOSTS, BindAddress
from memicos_service.logs import LogFormat
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

DEFAULT_PROFILE = "default"
"""The profile of AUTOINTERP_BASE_URL, AUTOINTERP_API_KEY, AUTOINTERP_MODEL and AUTOINTERP_MODELS."""

Key = Annotated[SecretStr | None, AfterValidator(check_key)]


class Settings(ConnectionSettings):
    """Settings of autointerp. A field `x` is set by `AUTOINTERP_X`, unless it names another variable."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOINTERP_",
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    host: BindAddress = Field("127.0.0.1", description="Address to bind.")
    port: int = Field(5003, ge=1, le=65535, description="Port to bind.")
    allowed_hosts: str = Field("", description=ALLOWED_HOSTS)
    secret: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("AUTOINTERP_SECRET", "SECRET"),
        description="Secret that requests send as X-SECRET-KEY; unset: none is required.",
    )

    base_url: BaseUrl = Field(
        "https://api.openai.com/v1", description="OpenAI-compatible endpoint that explains features."
    )
    api_key: Key = Field(
        None,
        description="The server's own key, sent to AUTOINTERP_BASE_URL only. Any text where a local endpoint "
        "needs no key.",
    )
    model: str = Field(
        "gpt-4.1-mini", min_length=1, description="Model of AUTOINTERP_BASE_URL for requests that name none."
    )
    models: str = Field(
        "",
        description="Further models of AUTOINTERP_BASE_URL, separated by commas, that requests may name with the "
        "server's key, besides AUTOINTERP_MODEL; each is a paid call. A request with a key of its own may name any.",
    )
    openrouter_url: BaseUrl | None = Field(
        "https://openrouter.ai/api/v1",
        description="Endpoint that a request's openrouter_key is sent to; empty: such keys are refused.",
    )
    allowed_base_urls: str = Field(
        "https://openrouter.ai/api/v1",
        description="Other endpoints, separated by commas, that a request may name as base_url with a key of its own.",
    )

    profiles_file: Path | None = Field(
        None,
        description="TOML file with further providers by name, each with base URL, key, models, limits and prices.",
    )
    answers_file: Path | None = Field(
        None,
        description="SQLite file that stores the answers to the server's own keys, so that no request is paid twice; "
        "empty: none is stored.",
    )

    timeout_seconds: float = Field(60, gt=0, description="Longest wait for one attempt.")
    retries: int = Field(
        2,
        ge=0,
        le=10,
        description="Further attempts after a lost connection, a time-out, 408, 409, 429 or 5xx.",
    )
    deadline_seconds: float = Field(
        150, gt=0, description="Longest time of a request over all attempts and the waits between them."
    )
    max_tokens: int = Field(
        2048,
        ge=16,
        description="Most tokens that the model may generate; reasoning models spend most of them on hidden reasoning.",
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="Sampling temperature; empty: none is sent, as some models refuse it."
    )
    answer_bytes: int = Field(
        4_000_000, ge=1, description="Largest answer of a provider, as it is sent and after decompression."
    )
    explanation_characters: int = Field(
        500, ge=1, description="Longest explanation; a longer one is refused as unreadable."
    )
    highlight_share: float = Field(
        0.6, gt=0, lt=1, description="Tokens above this share of their text's largest activation are marked."
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
        "api_key",
        "openai_api_key",
        "secret",
        "temperature",
        "profiles_file",
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
    def allowed_models(self) -> list[str]:
        """Models that requests may name with the server's key, the default one first."""
        names = [self.model, *(name.strip() for name in self.models.split(","))]
        return list(dict.fromkeys(name for name in names if name))

    @property
    def other_base_urls(self) -> set[str]:
        return set(self.allowed_base_urls.split(",")) - {""}

    def read_profiles(self) -> dict[str, Profile]:
        """All profiles by name, the default one first.

        Raises:
            ProfileError: the file of profiles is wrong.
        """
        default = Profile.model_validate(
            {"name": DEFAULT_PROFILE, "base_url": self.base_url, "models": tuple(self.allowed_models)}
        )
        further = read_profiles(self.profiles_file) if self.profiles_file else {}
        if DEFAULT_PROFILE in further:
            raise ProfileError(
                f"{self.profiles_file}: the profile {DEFAULT_PROFILE} is that of AUTOINTERP_BASE_URL; choose another "
                "name"
            )
        return {DEFAULT_PROFILE: default, **further}

    def profile_key(self, profile: Profile) -> SecretStr | None:
        """The server's key for a profile; None where there is none.

        Raises:
            ProfileError: the key cannot be read.
        """
        if profile.name == DEFAULT_PROFILE:
            return self.api_key
        return profile.read_key()

    @property
    def provider_options(self) -> ProviderOptions:
        return ProviderOptions(
            timeout_seconds=self.timeout_seconds,
            retries=self.retries,
            deadline_seconds=self.deadline_seconds,
            answer_bytes=self.answer_bytes,
        )

    @property
    def explainer_options(self) -> ExplainerOptions:
        return ExplainerOptions(
            highlight_share=self.highlight_share,
            explanation_characters=self.explanation_characters,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
        )


def read(env_file: Path | None = None) -> Settings:
    """Settings from the environment; `env_file` supplies what the environment does not set.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file is not an env file.
    """
    return service_settings.read(Settings, env_file)
