"""Every setting of the webapp, read from the environment (and a `.env` file), with its default."""

import sys
from pathlib import Path
from typing import Any

from memicos_service import settings as service_settings
from memicos_service.logs import LogFormat
from memicos_service.security.host_names import ALLOWED_HOSTS, LOOPBACK_NAMES, BindAddress, allowed_names
from memicos_service.server import is_loopback
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from memicos_webapp.dataset_uploads.settings import UploadSettings
from memicos_webapp.embeddings.settings import EmbeddingSettings
from memicos_webapp.import_roots.roots import parse_roots
from memicos_webapp.inference.settings import InferenceSettings
from memicos_webapp.jobs.settings import JobSettings
from memicos_webapp.security.body_settings import BodySettings
from memicos_webapp.security.proxy_headers import ROOT_PATH_PATTERN, parse_networks

SYSTEM_DATA = Path("/var/lib/memicos")


class Settings(UploadSettings, InferenceSettings, JobSettings, BodySettings, EmbeddingSettings):
    """Settings of the webapp. A field `x` is set by `MEMICOS_X`, unless it names another variable.

    An empty value is the same as an unset one.
    """

    model_config = SettingsConfigDict(
        env_prefix="MEMICOS_",
        env_file=".env",
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        env_ignore_empty=True,
    )

    root_path: str = Field(
        default="",
        pattern=ROOT_PATH_PATTERN,
        description="Path of the site that pages and API are below, such as /memicos, behind a reverse proxy that "
        "passes it on with or without this prefix; unset: X-Forwarded-Prefix of a trusted proxy, else none.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses and networks (CIDR) of reverse proxies, separated by commas, whose X-Forwarded-For, "
        "-Proto, -Host and -Prefix are used; others are ignored. Where set, every write needs a session or an API key.",
    )
    host: BindAddress = Field(
        default="127.0.0.1",
        description="Address to bind. Beyond loopback writes need the owner's session or an API key.",
    )
    port: int = Field(default=3000, ge=1, le=65535, description="Port to bind.")
    data: Path = Field(default=Path(".data"), description="Folder for the embedded database and caches.")
    system_data: Path = Field(
        default=SYSTEM_DATA,
        description="Folder of new embedded databases of root, owned by the system user memicos, as PostgreSQL "
        "refuses to run as root. The data folder has a link to it.",
    )
    database_url: str | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="postgresql://… of a PostgreSQL 16+ with pgvector; unset: an embedded one.",
    )
    database_pool: int = Field(default=10, ge=1, le=100, description="Connections that the webapp keeps open at most.")
    database_wait_seconds: float = Field(
        default=10,
        gt=0,
        description="How long a request waits for a free connection before the response is 503.",
    )
    statement_seconds: float = Field(
        default=10, gt=0, description="PostgreSQL ends a statement of a page or API call that takes longer."
    )
    retired_load_seconds: float = Field(
        default=600,
        ge=0,
        description="How long a replaced load is kept for requests that began before it was replaced.",
    )
    cleanup_every_seconds: float = Field(
        default=300,
        ge=0,
        description="How often the webapp deletes retired loads, rows of interrupted imports, and uploads that are "
        "done or expired; 0: only imports do, and uploads stay.",
    )
    interrupted_import_seconds: float = Field(
        default=86_400,
        ge=0,
        description="How long rows of an interrupted `memicos import` are kept, so that the same command continues it.",
    )
    import_reject_limit: int = Field(
        default=100,
        ge=0,
        description="Rows of features and explanations that an import may leave out because no page could show them; "
        "each is recorded with its file, line, column and reason. One more ends the import, and pages do not change. "
        "A fault in the texts always ends it.",
    )
    import_folder: Path | None = Field(
        default=None,
        description="Folder where imports of the public layout are converted, as large as the data. "
        "Empty: `imports` in MEMICOS_DATA.",
    )
    export_folder: Path | None = Field(
        default=None,
        description="Folder of exports, which webapp and worker have to share. Empty: `exports` in MEMICOS_DATA.",
    )
    export_days: float = Field(
        default=7, gt=0, description="Exports that are older are deleted when another one begins."
    )
    import_roots: str = Field(
        default="https://neuronpedia-datasets.s3.us-east-1.amazonaws.com/v1",
        description="What the server lists and imports from, separated by commas: URLs, absolute folders, and "
        "networks (CIDR) of private addresses that hosts of the URLs may have; other private, loopback and link-local "
        "addresses are refused, unless a URL has the address, or localhost, as its host. `memicos import` on the "
        "command line is not limited.",
    )
    allowed_hosts: str = Field(default="", description=ALLOWED_HOSTS)
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#]+[^?#]*)?$",
        description="Address under which people open this server, for the owner's sign-in link. Empty: "
        "http://localhost with MEMICOS_PUBLISHED_PORT or else MEMICOS_PORT, and MEMICOS_ROOT_PATH.",
    )
    published_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port that clients connect to, if it is not MEMICOS_PORT, as with a container.",
    )
    local_owner: bool = Field(
        default=True,
        description="Requests of this machine are the owner's where the server is bound to loopback, "
        "MEMICOS_ALLOWED_HOSTS names no other host, MEMICOS_TRUSTED_PROXIES is unset and they have no forwarding "
        "header. 0: they need a session or an API key too.",
    )
    read_only: bool = Field(
        default=False,
        description="1: migrate nothing, write nothing and refuse writes, for a database role that may only read.",
    )
    owner_link_seconds: float = Field(
        default=900, ge=60, le=86400, description="How long a one-time link that signs the owner in is valid."
    )
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Secret with which API keys are hashed, and stored keys for providers encrypted: with another one, "
        "all API keys are unknown, and stored keys cannot be decrypted. `make init-env` writes one for docker. Unset: "
        "the file `secret-key` in MEMICOS_DATA, which the first key makes.",
    )
    session_days: float = Field(
        default=30, gt=0, le=365, description="How long a browser stays signed in as the owner."
    )
    log_format: LogFormat = Field(default="text", description="text, or json: one JSON object per line.")
    log_requests: bool = Field(default=True, description="0: log only requests that failed with an internal error.")
    features_per_page: int = Field(default=50, ge=1, le=500, description="Rows per page of a source's feature table.")
    words_characters: int = Field(
        default=200, ge=1, description="Longest filter by words of the explanation on a source's page, in characters."
    )
    examples_shown: int = Field(
        default=20, ge=1, description="Strongest examples shown on a dashboard; the JSON has all of them."
    )
    texts_at_once: int = Field(default=4, ge=1, description="Most texts in one request that runs text through a model.")
    search_results: int = Field(default=30, ge=1, le=100, description="Features that a search by own text shows.")
    search_dense_share: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Features that fire on more than this share of tokens count as dense.",
    )
    steer_tokens: int = Field(default=256, ge=1, description="Largest number of tokens of one steered completion.")
    steer_features: int = Field(default=16, ge=1, description="Largest number of features in one steering request.")
    steer_strength: float = Field(
        default=10_000, gt=0, description="Largest strength of a steered feature, in either direction."
    )
    steer_search_characters: int = Field(
        default=100,
        ge=1,
        description="Longest query of the feature search on the steer page, in characters.",
    )
    steer_search_words: int = Field(default=8, ge=1, description="Most words of such a query.")

    vectors_per_account: int = Field(default=200, ge=1, description="Most vectors that an account may store.")
    vector_examples: int = Field(default=200, ge=1, description="Most texts with activations stored for one vector.")
    vector_example_tokens: int = Field(default=1024, ge=1, description="Most tokens of one such text.")
    vector_label_characters: int = Field(default=200, ge=1, description="Most characters of a vector's label.")

    autointerp_url: str = Field(
        default="http://127.0.0.1:5003",
        pattern=r"^https?://",
        validation_alias="AUTOINTERP_URL",
        description="URL of the autointerp server.",
    )
    autointerp_secret: SecretStr | None = Field(
        default=None,
        validation_alias="AUTOINTERP_SECRET",
        description="Secret sent to the autointerp server as X-SECRET-KEY; the AUTOINTERP_SECRET of that server.",
    )
    autointerp_connect_seconds: float = Field(
        default=2, gt=0, description="How long to wait for a connection to the autointerp server."
    )
    autointerp_seconds: float = Field(
        default=160, gt=0, description="Longest wait for an explanation by the autointerp server."
    )
    autointerp_status_seconds: float = Field(
        default=3,
        ge=0,
        description="How long the state of the autointerp server is cached, and the longest wait for it.",
    )
    explain_activations: int = Field(
        default=10, ge=1, le=64, description="Number of a feature's texts in the explainer's prompt."
    )
    explain_tokens: int = Field(
        default=24, ge=1, description="Tokens on each side of the strongest one in each of these texts."
    )
    explain_negatives: int = Field(
        default=5, ge=1, le=20, description="Number of texts of similar features in a contrastive prompt."
    )
    score_texts: int = Field(
        default=10,
        ge=5,
        le=30,
        description="Number of texts of each class that an explanation is scored on from its dashboard.",
    )
    score_tokens: int = Field(
        default=16, ge=0, le=200, description="Tokens on each side of the middle one in each of these texts."
    )
    score_contexts: int = Field(
        default=60,
        ge=5,
        le=1000,
        description="Most contexts that the model is run on to find texts on which the feature is not active.",
    )
    score_wait_seconds: float = Field(
        default=600,
        ge=0,
        description="Longest wait of a job that scores for inference servers that are down, loading or busy, or fail.",
    )
    score_steered_tokens: int = Field(
        default=24, ge=1, le=200, description="Tokens that are generated of each text for a score by steered texts."
    )

    @field_validator(
        "database_url",
        "secret_key",
        "autointerp_secret",
        "published_port",
        "import_folder",
        "export_folder",
        "upload_folder",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return service_settings.empty_is_unset(value)

    @field_validator("trusted_proxies")
    @classmethod
    def _valid_proxies(cls, value: str) -> str:
        parse_networks(value)
        return value

    @field_validator("import_roots")
    @classmethod
    def _valid_roots(cls, value: str) -> str:
        parse_roots(value)
        return value

    @property
    def conversions(self) -> Path:
        """Where imports of the public layout are converted."""
        return self.import_folder or self.data / "imports"

    @property
    def exports(self) -> Path:
        """Where exports are written."""
        return self.export_folder or self.data / "exports"

    @property
    def uploads(self) -> Path:
        """Where uploaded datasets are kept until they are imported."""
        return self.upload_folder or self.data / "uploads"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def local_owner_active(self) -> bool:
        """Whether requests of this machine are the owner's: no other machine can send any, not even by a proxy."""
        local_names = set(self.hosts) <= LOOPBACK_NAMES
        return self.local_owner and self.loopback and local_names and not parse_networks(self.trusted_proxies)

    @property
    def public_address(self) -> str:
        """The address for links, without a slash at its end."""
        local = f"http://localhost:{self.published_port or self.port}{self.root_path}"
        return self.public_url.rstrip("/") or local

    @property
    def hosts(self) -> list[str]:
        """Allowed host names without ports; ["*"] is any."""
        return allowed_names(self.allowed_hosts, self.host)


def variable(field: str) -> str:
    """The environment variable that sets a field."""
    return service_settings.variable(Settings, field)


def at_most(field: str) -> str:
    """The text of a limit that is a setting, for descriptions of the API."""
    return f"at most {Settings.model_fields[field].default:g} (setting {variable(field)})"


def read_for_writing(program: str) -> Settings:
    """The settings for a program that changes the database; ends it with one line where they are read-only."""
    settings = read(program)
    if settings.read_only:
        sys.exit(f"{program}: MEMICOS_READ_ONLY is set, so nothing is written; run it without")
    return settings


def read(program: str) -> Settings:
    """The settings; ends `program` with one line on standard error where a value is invalid."""
    try:
        return service_settings.read(Settings)
    except ValidationError as error:
        sys.exit(f"{program}: bad setting: {service_settings.problems(Settings, error)}")
    except ValueError as error:
        sys.exit(f"{program}: {error}.")
