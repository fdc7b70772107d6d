"""Settings of embedders, and of searches by meaning."""

from typing import Any, Literal, Self

from memicos_service.connections.settings import ConnectionSettings
from memicos_service.settings import empty_is_unset
from pydantic import Field, SecretStr, field_validator, model_validator


class EmbeddingSettings(ConnectionSettings):
    """Which embedder is used, and the limits of searches by meaning. Part of the webapp's settings."""

    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="OPENAI_API_KEY",
        description="Where set, explanations of newly imported sources are embedded by OpenAI.",
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        pattern=r"^https?://",
        validation_alias="OPENAI_BASE_URL",
        description="URL of OpenAI's API, or of a compatible server.",
    )
    openai_seconds: float = Field(
        default=20,
        gt=0,
        description="Longest time of one attempt to get an answer of OpenAI's embeddings; there are up to three.",
    )
    openai_answer_bytes: int = Field(
        default=32_000_000, ge=1, description="Largest answer of OpenAI's embeddings, also after decompression."
    )
    embedder: Literal["", "minilm", "openai"] = Field(
        default="",
        description="Embedder of sources that have none yet. Empty: openai where OPENAI_API_KEY is set, "
        "otherwise the local minilm.",
    )
    embedder_threads: int = Field(default=2, ge=1, description="Threads of the local embedder.")
    embed_every_seconds: float = Field(
        default=10,
        ge=0,
        description="How often the server looks for explanations without a vector; 0: never.",
    )
    embed_wait_seconds: float = Field(
        default=120,
        ge=0,
        description="How long embedding waits at most while an inference server loads its model.",
    )
    queries_remembered: int = Field(
        default=1000, ge=1, description="Number of queries whose vectors are cached in memory."
    )
    paid_queries_per_visitor_hour: int = Field(
        default=300,
        ge=1,
        description="Largest number of searches by meaning per visitor and hour that use a paid embedder (OpenAI). "
        "Cached queries are not counted, nor are searches from this machine on a server bound to loopback.",
    )
    paid_queries_per_day: int = Field(
        default=10_000, ge=1, description="The same for all visitors together, in 24 hours."
    )
    query_characters: int = Field(
        default=200, ge=3, description="Longest query of a search of explanations, in characters."
    )
    search_page: int = Field(
        default=20, ge=1, le=100, description="Features per page of a search by meaning, and per response of its API."
    )
    search_candidates: int = Field(
        default=400,
        ge=20,
        le=1000,
        description="Explanations that a search ranks by meaning, and as many by words; more are not reached.",
    )

    @field_validator("openai_api_key", mode="before")
    @classmethod
    def _empty_key_is_unset(cls, value: Any) -> Any:
        return empty_is_unset(value)

    @model_validator(mode="after")
    def _has_key(self) -> Self:
        if self.embedder == "openai" and not self.openai_api_key:
            raise ValueError("MEMICOS_EMBEDDER is openai, which needs OPENAI_API_KEY")
        return self

    @property
    def preferred_embedder(self) -> str:
        return self.embedder or ("openai" if self.openai_api_key else "minilm")
