"""Settings of providers, which the autointerp server and the commands that call a language model share."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from memicos_service import settings as service_settings
from memicos_service.variable_names import ServiceSettings
from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from memicos_autointerp_core.explainers.interface import ExplainerOptions
from memicos_autointerp_core.providers.options import BatchOptions, ProviderOptions
from memicos_autointerp_core.providers.profile import BaseUrl, Prices, Profile, ProfileError, check_key, read_profiles

DEFAULT_PROFILE = "default"
"""The profile of AUTOINTERP_BASE_URL, AUTOINTERP_API_KEY, AUTOINTERP_MODEL and AUTOINTERP_MODELS."""
OPENAI_URL = "https://api.openai.com/v1"
OPENAI_PRICES = {
    "gpt-4.1": Prices(input=2, output=8),
    "gpt-4.1-mini": Prices(input=0.4, output=1.6),
    "gpt-4.1-nano": Prices(input=0.1, output=0.4),
    "gpt-4o": Prices(input=2.5, output=10),
    "gpt-4o-mini": Prices(input=0.15, output=0.6),
}
"""Prices of the default profile at OpenAI, as published in April 2025. A profile of the file states its own."""
BULK_RETRIES = 5
BULK_PAUSE_SECONDS = 900
"""Of work on many features, for which nobody waits: further attempts, and the longest pause that a provider may ask
for. There is no limit of time over all attempts."""

Key = Annotated[SecretStr | None, AfterValidator(check_key)]


class ProviderSettings(ServiceSettings):
    """A field `x` is set by `AUTOINTERP_X`."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOINTERP_",
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    base_url: BaseUrl = Field(OPENAI_URL, description="OpenAI-compatible endpoint that explains features.")
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
    profiles_file: Path | None = Field(
        None,
        description="TOML file with further providers by name, each with base URL, key, models, limits and prices.",
    )
    timeout_seconds: float = Field(60, gt=0, description="Longest time of one attempt, until its answer is complete.")
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
    batch_poll_seconds: float = Field(
        30,
        ge=0.1,
        description="Of explaining and scoring in batches: time between two requests for the state of a batch.",
    )
    batch_requests: int = Field(
        50_000, ge=1, description="Most requests of one batch; further ones wait for the next batch."
    )
    batch_file_bytes: int = Field(
        100_000_000, ge=1000, description="Largest file of requests of a batch, and of its answers."
    )
    batch_unreachable_seconds: float = Field(
        3600,
        ge=0,
        description="Longest time without an answer of the provider while a job or command waits for a batch; "
        "then it ends, and goes on with the batch when the command is repeated or the job resumed.",
    )
    batch_file_seconds: float = Field(
        3600,
        gt=0,
        description="Longest time in which a file of a batch is sent or read, or the list of batches is read.",
    )
    vllm_command: str = Field(
        "vllm serve",
        min_length=1,
        description="Of `--executor ray`: program that starts a replica, as a shell splits it; model, host and port "
        "are added. A program that is not on the PATH of the machines is named by its path.",
    )
    vllm_start_seconds: float = Field(
        1800,
        gt=0,
        description="Longest time until a replica's /health answers; it downloads and loads the model meanwhile.",
    )
    vllm_concurrency: int = Field(64, ge=1, description="Requests in flight to each replica.")
    answer_bytes: int = Field(
        4_000_000, ge=1, description="Largest answer of a provider, as it is sent and after decompression."
    )
    explanation_characters: int = Field(
        500, ge=1, description="Longest explanation; a longer one is refused as unreadable."
    )
    highlight_share: float = Field(
        0.6, gt=0, lt=1, description="Tokens above this share of their text's largest activation are marked."
    )

    @field_validator("api_key", "temperature", "profiles_file", mode="before")
    @classmethod
    def _empty_provider_fields_are_unset(cls, value: Any) -> Any:
        return service_settings.empty_is_unset(value)

    @property
    def allowed_models(self) -> list[str]:
        """Models that requests may name with the server's key, the default one first."""
        names = [self.model, *(name.strip() for name in self.models.split(","))]
        return list(dict.fromkeys(name for name in names if name))

    def read_profiles(self) -> dict[str, Profile]:
        """All profiles by name, the default one first.

        Raises:
            ProfileError: the file of profiles is wrong.
        """
        default = Profile.model_validate(
            {
                "name": DEFAULT_PROFILE,
                "base_url": self.base_url,
                "models": tuple(self.allowed_models),
                "prices": OPENAI_PRICES if self.base_url == OPENAI_URL else {},
                "batch": self.base_url == OPENAI_URL,
            }
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
    def bulk_options(self) -> ProviderOptions:
        """`provider_options` for work on many features, which waits longer where a provider limits its rate."""
        return replace(
            self.provider_options,
            retries=max(self.retries, BULK_RETRIES),
            deadline_seconds=None,
            longest_pause_seconds=BULK_PAUSE_SECONDS,
        )

    @property
    def batch_options(self) -> BatchOptions:
        return BatchOptions(
            self.batch_poll_seconds,
            self.batch_requests,
            self.batch_file_bytes,
            self.batch_unreachable_seconds,
            self.batch_file_seconds,
        )

    @property
    def explainer_options(self) -> ExplainerOptions:
        return ExplainerOptions(
            highlight_share=self.highlight_share,
            explanation_characters=self.explanation_characters,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
        )
