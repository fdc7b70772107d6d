"""JSON API of the inference hosts: list, add, change, remove. For the owner of the server only."""

from typing import Any

from fastapi import APIRouter

from memicos_webapp.errors import ErrorBody
from memicos_webapp.inference.host_config import HostConfig
from memicos_webapp.inference_hosts import service
from memicos_webapp.inference_hosts.resources import ResourcesDep
from memicos_webapp.inference_hosts.schemas import (
    AddHostRequest,
    ChangeHostRequest,
    HostName,
    HostRemoved,
    InferenceHostBody,
    InferenceHostList,
)
from memicos_webapp.security.authorisation import OwnerAccess

router = APIRouter(prefix="/admin/inference-hosts", tags=["admin"])

OWNER_ONLY: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorBody, "description": "Only the owner of the server may read and change its hosts"}
}
INVALID: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "A value is invalid, or only the settings can change the host"},
    413: {"model": ErrorBody, "description": "The body is too large"},
}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "Unknown host"}}


@router.get("", summary="List inference hosts", responses=OWNER_ONLY)
async def list_inference_hosts(_: OwnerAccess, resources: ResourcesDep) -> InferenceHostList:
    """The inference servers that requests may go to, with their last known states."""
    return InferenceHostList(hosts=await resources.bodies())


@router.post(
    "",
    summary="Add an inference host",
    responses=OWNER_ONLY | INVALID | {409: {"model": ErrorBody, "description": "There is a host of this name"}},
)
async def add_inference_host(_: OwnerAccess, resources: ResourcesDep, body: AddHostRequest) -> InferenceHostBody:
    """Add an inference server. Requests may go to it at once; other webapps on the database notice within seconds.

    The secret itself is never stored: `secretVariable` names the variable that has it.
    """
    config = await service.add(
        resources.database, resources.settings, HostConfig(body.name, body.url, body.secretVariable, body.enabled)
    )
    return await resources.body(config.name)


@router.patch("/{name}", summary="Change an inference host", responses=OWNER_ONLY | INVALID | UNKNOWN)
async def change_inference_host(
    _: OwnerAccess, resources: ResourcesDep, name: HostName, body: ChangeHostRequest
) -> InferenceHostBody:
    """Change a host's URL or secret variable, or enable or disable it.

    Running calls are completed with the old values.
    """
    await service.change(
        resources.database,
        resources.settings,
        name,
        url=body.url,
        secret_variable=body.secretVariable,
        enabled=body.enabled,
    )
    return await resources.body(name)


@router.delete("/{name}", summary="Remove an inference host", responses=OWNER_ONLY | INVALID | UNKNOWN)
async def remove_inference_host(_: OwnerAccess, resources: ResourcesDep, name: HostName) -> HostRemoved:
    """Remove a host. Those that the settings name can only be disabled."""
    await service.remove(resources.database, resources.settings, name)
    await service.refresh(resources.database, resources.settings, resources.hosts)
    return HostRemoved(message=f"The inference host {name} is removed.")
