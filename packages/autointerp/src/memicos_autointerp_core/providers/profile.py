"""Named profiles of providers: base URL, where the key is, models, limits, prices and abilities."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

MAX_TOKENS_HOSTS = ("api.openai.com", ".openai.azure.com")
"""Hosts whose reasoning models refuse `max_tokens`; many other servers support only `max_tokens`."""


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


BaseUrl = Annotated[str, AfterValidator(normalize_base_url)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class ProfileError(ValueError):
    """A profile is wrong, or its key is missing. The message never contains a key."""


class Prices(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class ProviderLimits(BaseModel):
    """The rates that the provider states for one key; None: no such limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(default=8, ge=1, le=10_000)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)


class Profile(BaseModel):
    """A provider by name.

    Attributes:
        name: how requests, settings and pages name it.
        base_url: without trailing slash.
        key_variable: environment variable that holds the server's key; None where `key_file` or no key is used.
        key_file: file that holds the server's key.
        needs_key: false for servers that take requests without a key.
        models: models that requests may name with the server's key, the default one first.
        limits: see `ProviderLimits`.
        prices: per model.
        structured_output: whether answers can be bound to a JSON Schema.
        logprobs: whether log probabilities of the answer's tokens are sent on request.
        max_tokens_field: the parameter that limits the answer; None: by host.
        batch: whether the provider has OpenAI's Batch API.
        batch_price_factor: price of a request in a batch, as a share of `prices`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Name
    base_url: BaseUrl
    key_variable: str | None = Field(None, min_length=1)
    key_file: Path | None = None
    needs_key: bool = True
    models: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    limits: ProviderLimits = ProviderLimits()
    prices: Mapping[str, Prices] = {}
    structured_output: bool = False
    logprobs: bool = False
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    batch: bool = False
    batch_price_factor: float = Field(default=0.5, ge=0, le=1)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc

    @property
    def max_tokens_name(self) -> str:
        if self.max_tokens_field:
            return self.max_tokens_field
        host = urlsplit(self.base_url).hostname or ""
        ours = any(host == name or (name.startswith(".") and host.endswith(name)) for name in MAX_TOKENS_HOSTS)
        return "max_completion_tokens" if ours else "max_tokens"

    def read_key(self) -> SecretStr | None:
        """The server's key for this profile; None where there is none.

        Raises:
            ProfileError: the file cannot be read, or the key cannot be sent in a header.
        """
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable else ""
        if self.key_file:
            try:
                key = self.key_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ProfileError(f"profile {self.name}: key_file {self.key_file} cannot be read: {error}") from error
        try:
            return check_key(SecretStr(key)) if key else None
        except ValueError as error:
            raise ProfileError(f"profile {self.name}: {error}") from None

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """US dollars for these tokens; None where the model has no price."""
        price = self.prices.get(model)
        if price is None:
            return None
        return (prompt_tokens * price.input + completion_tokens * price.output) / 1e6


def parse_profiles(tables: Mapping[str, Any]) -> dict[str, Profile]:
    """Profiles from tables by name, in their order.

    Raises:
        ProfileError: a table is wrong; the message names the profile and the field.
    """
    profiles: dict[str, Profile] = {}
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ProfileError(f"profile {name} is not a table: write [{name}] above its lines")
        try:
            profiles[name] = Profile.model_validate({**table, "name": name})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "profile"
            raise ProfileError(f"profile {name}: {field}: {first['msg'].removeprefix('Value error, ')}") from None
    return profiles


def read_profiles(path: Path) -> dict[str, Profile]:
    """Profiles of a TOML file: a table per profile.

    Raises:
        ProfileError: the file cannot be read or is not TOML, or a profile is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"the profiles in {path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{path} is not TOML: {error}") from error
    try:
        return parse_profiles(tables)
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None
