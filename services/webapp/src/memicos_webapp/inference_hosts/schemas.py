"""Bodies of `/api/admin/inference-hosts`."""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp.inference.host import Host
from memicos_webapp.inference_hosts.repository import HostRow

NAME = "name of the host: 1 to 63 lower-case letters, digits and hyphens"
URL = "where the server is: http(s)://host[:port][/path], without user, password or query"
SECRET_VARIABLE = (
    "name of the webapp's environment variable with the server's secret, INFERENCE_SECRET or INFERENCE_SECRET_…"
)
ENABLED = "whether requests may go to it"
LONGEST_URL = 2000

HostName = Annotated[str, Path(max_length=63, examples=["gpt2"], description=NAME)]


class AddHostRequest(BaseModel):
    """A new inference host."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "gpt2", "url": "http://127.0.0.1:5004"}]},
    )

    name: str = Field(max_length=63, description=NAME)
    url: str = Field(max_length=LONGEST_URL, description=URL)
    secretVariable: str | None = Field(None, max_length=100, description=f"{SECRET_VARIABLE}; null: it needs none")
    enabled: bool = Field(True, description=ENABLED)


class ChangeHostRequest(BaseModel):
    """Changes of an inference host; what is null or left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})

    url: str | None = Field(None, max_length=LONGEST_URL, description=URL)
    secretVariable: str | None = Field(None, max_length=100, description=f"{SECRET_VARIABLE}; empty: it needs none")
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
    state: Literal["ready", "loading", "down", "refused", "unknown", "disabled"] = Field(
        description="refused: it refuses the webapp's secret; unknown: the first check has not ended"
    )
    message: str = Field(description="the state in words")
    model: str | None = Field(description="id of its model; null unless it is ready")
    sources: list[str] = Field(description="ids of the sources that it has; empty unless it is ready")


class InferenceHostList(BaseModel):
    """All inference hosts."""

    hosts: list[InferenceHostBody] = Field(description="those of the settings first, then in the order of adding")


class HostRemoved(BaseModel):
    """What was done."""

    message: str = Field(description="what was removed")


def host_body(row: HostRow, host: Host | None) -> InferenceHostBody:
    """Args: host: the running host; None where it is disabled."""
    config = row.config
    status = host.last_status if host else None
    known = status.capabilities if status else None
    if host is None:
        state, message = "disabled", "disabled"
    elif status is None:
        state, message = "unknown", "not checked yet"
    else:
        state, message = status.state, status.message
    return InferenceHostBody(
        name=config.name,
        url=config.url,
        secretVariable=config.secret_variable,
        enabled=config.enabled,
        configured=row.configured,
        state=state,
        message=message,
        model=known.model if known else None,
        sources=[source.id for source in known.sources] if known else [],
    )
