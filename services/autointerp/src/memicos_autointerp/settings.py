"""Every setting of autointerp, read from the environment (and an env file), with its default."""

from io import StringIO
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import AfterValidator, AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def normal_url(url: str) -> str:
    """An http(s) base URL without trailing slashes.

    Raises:
        ValueError: not an http(s) URL, or one with credentials, query or fragment.
    """
    url = url.strip().rstrip("/")
    scheme, found, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not found or not rest:
        raise ValueError("a base URL starts with http:// or https://")
    if any(mark in rest for mark in "@?#") or any(character.isspace() for character in rest):
        raise ValueError("a base URL has no credentials, query or fragment")
    host, slash, path = rest.partition("/")
    if not urlsplit(url).hostname or urlsplit(url).port == 0:  # reading a port that is none raises as well
        raise ValueError("a base URL names a host")
    return f"{scheme.lower()}://{host.lower()}{slash}{path}"


def check_key(key: SecretStr | None) -> SecretStr | None:
    """Raises ValueError for what cannot stand in a header."""
    if key and not all("!" <= character <= "~" for character in key.get_secret_value().strip()):
        raise ValueError("a key has no spaces, and only ASCII characters")
    return key


Key = Annotated[SecretStr | None, AfterValidator(check_key)]
BaseUrl = Annotated[str, AfterValidator(normal_url)]


class Settings(BaseSettings):
    """Settings of autointerp. A field `x` is set by `AUTOINTERP_X`, unless it names another variable."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOINTERP_",
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    host: str = Field("127.0.0.1", description="Address to bind.")
    port: int = Field(5003, ge=1, le=65535, description="Port to bind.")
    secret: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("AUTOINTERP_SECRET", "SECRET"),
        description="What requests send as X-SECRET-KEY; unset: the server is open.",
    )

    base_url: BaseUrl = Field(
        "https://api.openai.com/v1", description="OpenAI-compatible endpoint that explanations come from."
    )
    api_key: Key = Field(
        None,
        description="The server's own key; sent to AUTOINTERP_BASE_URL only. Any word where a local endpoint "
        "needs none.",
    )
    model: str = Field(
        "gpt-4.1-mini", min_length=1, description="Model of AUTOINTERP_BASE_URL for requests that name none."
    )
    openrouter_url: BaseUrl | None = Field(
        "https://openrouter.ai/api/v1",
        description="Where a request's openrouter_key goes; empty: such keys are refused.",
    )
    allowed_base_urls: str = Field(
        "https://openrouter.ai/api/v1",
        description="Other endpoints, separated by commas, that a request may name as base_url if it brings "
        "its own key.",
    )

    timeout_seconds: float = Field(60, gt=0, description="Longest wait for one answer of the endpoint.")
    retries: int = Field(
        2,
        ge=0,
        le=10,
        description="Further attempts after a lost connection, a time-out, 408, 409, 429 or 5xx.",
    )
    deadline_seconds: float = Field(
        150, gt=0, description="Longest a request takes over all attempts and the waits between them."
    )
    max_tokens: int = Field(
        2048,
        ge=16,
        description="Most tokens the model may write; models that reason spend most of them unseen.",
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="Sampling temperature; empty: not sent, as some models refuse it."
    )
    explanation_characters: int = Field(500, ge=1, description="A longer explanation is refused as unreadable.")
    highlight_share: float = Field(
        0.6, gt=0, lt=1, description="Tokens above this share of their text's largest value are marked."
    )

    max_activations: int = Field(64, ge=1, description="Most texts in a request.")
    max_characters: int = Field(200_000, ge=1, description="Most characters of all texts in a request.")
    body_bytes: int = Field(4_000_000, gt=0, description="Largest request body.")

    @field_validator("openrouter_url", "api_key", "secret", "temperature", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("allowed_base_urls")
    @classmethod
    def _are_urls(cls, value: str) -> str:
        return ",".join(normal_url(url) for url in value.split(",") if url.strip())

    @property
    def other_base_urls(self) -> set[str]:
        return set(self.allowed_base_urls.split(",")) - {""}


def read(env_file: Path | None = None) -> Settings:
    """Settings from the environment; `env_file` fills in what the environment lacks.

    Raises:
        pydantic.ValidationError: a value is out of its range.
        ValueError: the file is not a list of NAME=value.
    """
    if env_file:
        # the library would warn and pass over such a line
        for line in parse_stream(StringIO(env_file.read_text(encoding="utf-8"))):
            if line.error:
                raise ValueError(f"line {line.original.line} of {env_file} is not NAME=value")
    return Settings(_env_file=env_file)  # pyright: ignore[reportCallIssue]  # known to pydantic-settings only
