"""Settings of the inference servers that the webapp calls."""

from typing import Any

from memicos_service.connections.settings import ConnectionSettings
from memicos_service.settings import empty_is_unset
from pydantic import Field, SecretStr, field_validator

from memicos_webapp.inference.host_config import parse_hosts


class InferenceSettings(ConnectionSettings):
    """Which inference servers there are, and the limits of calls to them. Part of the webapp's settings."""

    inference_url: str = Field(
        default="http://127.0.0.1:5002",
        pattern=r"^https?://",
        validation_alias="INFERENCE_URL",
        description="URL of the inference server; MEMICOS_INFERENCE_HOSTS names several.",
    )
    inference_hosts: str = Field(
        default="",
        description="Inference servers as name=URL,name=URL, in place of INFERENCE_URL. The secret of the host gpt2 is "
        "INFERENCE_SECRET_GPT2 where that is set, else INFERENCE_SECRET.",
    )
    inference_poll_seconds: float = Field(
        default=2,
        ge=0,
        description="How often the inference servers are checked in the background, and the table of hosts is read "
        "again; 0: never, requests check them.",
    )
    inference_secret: SecretStr | None = Field(
        default=None,
        validation_alias="INFERENCE_SECRET",
        description="Secret sent to the inference server as X-SECRET-KEY; the SECRET of that server.",
    )
    inference_client_key: SecretStr | None = Field(
        default=None,
        validation_alias="INFERENCE_CLIENT_KEY",
        description="Sent as X-Client-Key to inference servers without a secret, so that they tell visitors apart; "
        "must equal INFERENCE_CLIENT_KEY of the server. `make demo` sets it.",
    )
    inference_connect_seconds: float = Field(
        default=2, gt=0, description="How long to wait for a connection to the inference server."
    )
    inference_read_seconds: float = Field(
        default=120,
        gt=0,
        description="Longest time without data from the inference server before its response is aborted.",
    )
    inference_call_connections: int = Field(
        default=100,
        ge=1,
        description="Connections to each inference server for calls that are not streams. Checks of its state have "
        "their own.",
    )
    inference_queue_seconds: float = Field(
        default=10, gt=0, description="How long a call waits for one of these connections before the response is 503."
    )
    streams: int = Field(
        default=200,
        ge=1,
        description="Steering requests, streams or not, that may be in progress at the same time; the response to "
        "others is 503. Each inference server has twice as many connections for them.",
    )
    streams_per_visitor: int = Field(
        default=32,
        ge=1,
        description="The same for one visitor (an address; a class behind one address is one visitor); the response to "
        "others is 429.",
    )
    inference_status_seconds: float = Field(
        default=2,
        ge=0,
        description="How long the state of the inference server (ready, loading, down) is cached.",
    )
    inference_check_seconds: float = Field(
        default=5,
        gt=0,
        description="Longest wait for the inference server's /health, and for its /v1/capabilities.",
    )
    inference_check_wait_seconds: float = Field(
        default=0.5,
        ge=0,
        description="How long pages and requests wait for such a check before they use the last known state.",
    )
    inference_capabilities_seconds: float = Field(
        default=5,
        ge=0,
        description="How long the inference server's capabilities (sources, limits) are cached. A source missing from "
        "them is looked up at once.",
    )

    @field_validator("inference_secret", "inference_client_key", mode="before")
    @classmethod
    # a validator of the same name in the settings class would replace this one
    def _empty_secret_is_unset(cls, value: Any) -> Any:
        return empty_is_unset(value)

    @field_validator("inference_hosts")
    @classmethod
    def _valid_hosts(cls, value: str) -> str:
        parse_hosts(value)
        return value
