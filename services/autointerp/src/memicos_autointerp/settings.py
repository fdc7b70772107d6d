"""Every setting of autointerp, read from the environment (and an env file), with its default."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from memicos_autointerp_core.explainers.interface import ExplainerOptions
from memicos_autointerp_core.provider import ProviderOptions
from memicos_service import settings as service_settings
from memicos_service.connections.settings import ConnectionSettings
from memicos_service.host_names import ALLOWED_HOSTS, BindAddress
from memicos_service.logs import LogFormat
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict


def normalize_base_url(url: str) -> str:
    """An http(s) base URL without trailing slashes, with scheme and host in lower case.

    Raises:
        ValueError: it is no http(s) URL, or has credentials, a query or a fragment.
    """
    url = url.strip().rstrip("/")
    scheme, separator, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not separator or not rest:
        raise ValueError("a base URL starts with http:// or https://")
    if any(mark in rest for mark in "@?#") or any(character.isspace() for character in rest):
        raise ValueError("a base URL has no credentials, query or fragment")
    host, slash, path = rest.partition("/")
    if not urlsplit(url).hostname or urlsplit(url).port == 0:  # `port` itself raises ValueError for a bad one
        raise ValueError("a base URL names a host")
    return f"{scheme.lower()}://{host.lower()}{slash}{path}"


def check_key(key: SecretStr | None) -> SecretStr | None:
    """Refuse a key that cannot be sent in a header.

    Raises:
        ValueError: it has a character that is not visible ASCII.
    """
    if key and not all("!" <= character <= "~" for character in key.get_secret_value().strip()):
        raise ValueError("a key has no spaces, and only ASCII characters")
    return key


Key = Annotated[SecretStr | None, AfterValidator(check_key)]
BaseUrl = Annotated[str, AfterValidator(normalize_base_url)]


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

    max_activations: int = Field(64, ge=1, description="Most texts in a request.")
    max_characters: int = Field(200_000, ge=1, description="Most characters of all texts in a request.")
    body_bytes: int = Field(4_000_000, gt=0, description="Largest request body.")
    log_format: LogFormat = Field("text", description="text, or json: one JSON object per line.")
    log_requests: bool = Field(True, description="0: log only requests that failed with an internal error.")

    @field_validator("openrouter_url", "api_key", "secret", "temperature", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return service_settings.empty_is_unset(value)

    @field_validator("allowed_base_urls")
    @classmethod
    def _are_urls(cls, value: str) -> str:
        return ",".join(normalize_base_url(url) for url in value.split(",") if url.strip())

    @property
    def allowed_models(self) -> list[str]:
        """Models that requests may name with the server's key, the default one first."""
        names = [self.model, *(name.strip() for name in self.models.split(","))]
        return list(dict.fromkeys(name for name in names if name))

    @property
    def other_base_urls(self) -> set[str]:
        return set(self.allowed_base_urls.split(",")) - {""}

    @property
    def provider_options(self) -> ProviderOptions:
        return ProviderOptions(
            timeout_seconds=self.timeout_seconds,
            retries=self.retries,
            deadline_seconds=self.deadline_seconds,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            answer_bytes=self.answer_bytes,
        )

    @property
    def explainer_options(self) -> ExplainerOptions:
        return ExplainerOptions(
            highlight_share=self.highlight_share, explanation_characters=self.explanation_characters
        )


def read(env_file: Path | None = None) -> Settings:
    """Settings from the environment; `env_file` supplies what the environment does not set.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file is not an env file.
    """
    return service_settings.read(Settings, env_file)
