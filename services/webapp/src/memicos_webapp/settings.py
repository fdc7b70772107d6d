"""Every setting of the webapp, read from the environment (and a `.env` file), with its default."""

import ipaddress
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def is_loopback(host: str) -> bool:
    """Whether a bind address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """Settings of the webapp. A field `x` is set by `MEMICOS_X`, unless it names another variable."""

    model_config = SettingsConfigDict(
        env_prefix="MEMICOS_", env_file=".env", extra="ignore", populate_by_name=True, frozen=True
    )

    host: str = Field(
        default="127.0.0.1", description="Address to bind. Beyond loopback every write is refused."
    )
    port: int = Field(default=3000, ge=1, le=65535, description="Port to bind.")
    data: Path = Field(default=Path(".data"), description="Folder for the embedded database and caches.")
    database_url: str | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="postgresql://… of a PostgreSQL 16+ with pgvector; unset: an embedded one.",
    )
    database_pool: int = Field(
        default=10, ge=1, le=100, description="Connections that the webapp keeps open at most."
    )
    database_wait_seconds: float = Field(
        default=10,
        gt=0,
        description="How long a request waits for a free connection before it is answered 503.",
    )
    statement_seconds: float = Field(
        default=10, gt=0, description="PostgreSQL ends a statement of a page or API call that takes longer."
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names that requests may name, separated by commas. Empty: localhost, 127.0.0.1 and "
        "[::1] when bound to loopback (which stops DNS rebinding), any when bound beyond it.",
    )
    body_bytes: int = Field(default=1_000_000, gt=0, description="Largest request body.")
    features_per_page: int = Field(
        default=50, ge=1, le=500, description="Rows of a source's feature table a page."
    )
    words_characters: int = Field(
        default=200, ge=1, description="Longest filter by words on a source's page."
    )
    examples_shown: int = Field(
        default=20, ge=1, description="Strongest examples shown on a dashboard; the JSON has all of them."
    )

    inference_url: str = Field(
        default="http://127.0.0.1:5002",
        pattern=r"^https?://",
        validation_alias="INFERENCE_URL",
        description="Where the inference server is.",
    )
    inference_secret: SecretStr | None = Field(
        default=None,
        validation_alias="INFERENCE_SECRET",
        description="Sent to the inference server as X-SECRET-KEY; what that server has as SECRET.",
    )
    inference_connect_seconds: float = Field(
        default=2, gt=0, description="How long to wait for a connection to the inference server."
    )
    inference_read_seconds: float = Field(
        default=120,
        gt=0,
        description="Longest silence of the inference server before its answer is given up.",
    )
    inference_status_seconds: float = Field(
        default=2,
        ge=0,
        description="How long a known state of the inference server (ready, loading, down) is believed.",
    )
    texts_at_once: int = Field(
        default=4, ge=1, description="Most texts in one request that runs text through a model."
    )
    search_results: int = Field(
        default=30, ge=1, le=100, description="Features that a search by own text shows."
    )
    search_dense_share: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Features that fire on more than this share of tokens count as dense.",
    )
    steer_tokens: int = Field(
        default=256, ge=1, description="Most tokens that one steered completion may ask for."
    )
    steer_features: int = Field(default=16, ge=1, description="Most features that may steer at once.")
    steer_strength: float = Field(
        default=10_000, gt=0, description="Largest strength of a steered feature, in either direction."
    )

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def hosts(self) -> list[str]:
        """Allowed host names without ports; ["*"] is any."""
        if self.allowed_hosts:
            return [name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip()]
        return ["localhost", "127.0.0.1", "[::1]"] if self.loopback else ["*"]
