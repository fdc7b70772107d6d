"""Bodies of `/api/admin/inference-hosts`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp.inference.host import Host
from memicos_webapp.inference_hosts.repository import HostRow

NAME = "name of the host: 1 to 63 lower-case letters, digits and hyphens"
URL = "address of the server: http(s)://host[:port][/path], without user, password or query"
SECRET_VARIABLE = (
    "name of the webapp's environment variable with the server's secret, INFERENCE_SECRET or INFERENCE_SECRET_…"
)
ENABLED = "whether requests may go to it"
LONGEST_URL = 2000
LONGEST_NAME = 63
LONGEST_VARIABLE = 100

HostState = Literal["ready", "loading", "down", "refused", "unknown", "disabled"]
HOST_STATE = "refused: it refuses the webapp's secret; unknown: the first check has not ended"

HostName = Annotated[str, Path(max_length=LONGEST_NAME, examples=["gpt2"], description=NAME)]


class AddHostRequest(BaseModel):
    """A new inference host."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "gpt2", "url": "http://127.0.0.1:5004"}]},
    )

    name: str = Field(max_length=LONGEST_NAME, description=NAME)
    url: str = Field(max_length=LONGEST_URL, description=URL)
    secretVariable: str | None = Field(
        None, max_length=LONGEST_VARIABLE, description=f"{SECRET_VARIABLE}; null: it needs none"
    )
    enabled: bool = Field(True, description=ENABLED)


class ChangeHostRequest(BaseModel):
    """Changes of an inference host; what is null or left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})

    url: str | None = Field(None, max_length=LONGEST_URL, description=URL)
    secretVariable: str | None = Field(
        None, max_length=LONGEST_VARIABLE, description=f"{SECRET_VARIABLE}; empty: it needs none"
    )
    enabled: bool | None = Field(None, description=ENABLED)


class InferenceHostBody(BaseModel):
    """An inference host and its state."""

    name: str = Field(description=NAME)
    url: str = Field(description=URL)
    secretVariable: str | None = Field(description=f"{SECRET_VARIABLE}; null: it needs none")
    enabled: bool = Field(description=ENABLED)
    configured: bool = Field(
        description="whether it comes from INFERENCE_URL or MEMICOS_INFERENCE_HOSTS, which alone change its URL"
    )
    state: HostState = Field(description=HOST_STATE)
    message: str = Field(description="the state in words")
    model: str | None = Field(description="id of its model; null unless it is ready")
    sources: list[str] = Field(description="ids of the sources that it has; empty unless it is ready")
    load: int | None = Field(
        description="requests in progress on it: this webapp's now, others at its last check; null unless it is ready"
    )


class InferenceHostList(BaseModel):
    """All inference hosts."""

    hosts: list[InferenceHostBody] = Field(description="hosts of the settings first, then the added ones, oldest first")


class HostRemoved(BaseModel):
    """Confirmation of a removal."""

    message: str = Field(description="the removed host")


@dataclass(frozen=True)
class HostView:
    """State of a host for the API; `model`, `sources` and `load` are those of a host that is ready."""

    state: HostState
    message: str
    model: str | None = None
    sources: list[str] = field(default_factory=list)
    load: int | None = None


def host_view(host: Host | None) -> HostView:
    """The last known state of a running host; of one that is disabled where `host` is None."""
    if host is None:
        return HostView("disabled", "disabled")
    status = host.last_status
    if status is None:
        return HostView("unknown", "not checked yet")
    capabilities = status.capabilities
    if capabilities is None:
        return HostView(status.state, status.message)
    sources = [source.id for source in capabilities.sources]
    return HostView(status.state, status.message, capabilities.model, sources, host.load)


def host_body(row: HostRow, host: Host | None) -> InferenceHostBody:
    """The body for a stored host. `host` is the running one; None where it is disabled."""
    config, view = row.config, host_view(host)
    return InferenceHostBody(
        name=config.name,
        url=config.url,
        secretVariable=config.secret_variable,
        enabled=config.enabled,
        configured=row.configured,
        state=view.state,
        message=view.message,
        model=view.model,
        sources=view.sources,
        load=view.load,
    )
