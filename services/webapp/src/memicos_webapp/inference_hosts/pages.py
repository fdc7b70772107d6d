"""The owner's page of the inference hosts: their states; add, change, enable, disable and remove them."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from memicos_webapp.errors import BadInput, Conflict
from memicos_webapp.inference.host_config import HostConfig
from memicos_webapp.inference_hosts import service
from memicos_webapp.inference_hosts.resources import HostResources, ResourcesDep
from memicos_webapp.inference_hosts.schemas import LONGEST_NAME, LONGEST_URL, LONGEST_VARIABLE, HostName
from memicos_webapp.security.authorisation import OwnerAccess
from memicos_webapp.templating import render

PAGE = "/account/inference-hosts"
NO_STORE = {"Cache-Control": "no-store"}

router = APIRouter(prefix=PAGE, tags=["inference-hosts"])

UrlField = Annotated[str, Form(max_length=LONGEST_URL)]
VariableField = Annotated[str, Form(max_length=LONGEST_VARIABLE)]


async def _render_page(request: Request, resources: HostResources, status: int = 200, **problem: Any) -> HTMLResponse:
    """The page. `problem`: `message`, `host` (None: the form for a new one) and `entered`, the form's values."""
    return render(
        request,
        "inference_hosts/list.html",
        status_code=status,
        headers=NO_STORE,
        hosts=await resources.bodies(),
        may_change=not resources.settings.read_only,
        problem=problem or None,
        longest_name=LONGEST_NAME,
        longest_url=LONGEST_URL,
        longest_variable=LONGEST_VARIABLE,
    )


def _page_of(name: str) -> RedirectResponse:
    return RedirectResponse(f"{PAGE}#host-{name}", status_code=303, headers=NO_STORE)


@router.get("", response_class=HTMLResponse)
async def inference_hosts_page(_: OwnerAccess, request: Request, resources: ResourcesDep) -> HTMLResponse:
    return await _render_page(request, resources)


@router.get("/states", response_class=HTMLResponse)
async def inference_host_states(
    _: OwnerAccess, request: Request, resources: ResourcesDep, name: Annotated[list[str], Query(max_length=1000)]
) -> HTMLResponse:
    """The states of the hosts `name` now, each of which replaces that of the page."""
    bodies = {body.name: body for body in await resources.bodies()}
    states = [(host, bodies.get(host)) for host in name]
    return render(request, "inference_hosts/_states.html", headers=NO_STORE, states=states)


@router.post("")
async def add_inference_host_form(
    _: OwnerAccess,
    request: Request,
    resources: ResourcesDep,
    name: Annotated[str, Form(max_length=LONGEST_NAME)],
    url: UrlField,
    secret_variable: VariableField = "",
) -> Response:
    """Add a host. An empty `secret_variable`: it needs no secret."""
    config = HostConfig(name.strip(), url.strip(), secret_variable.strip() or None)
    try:
        await service.add(resources.database, resources.settings, config)
    except (BadInput, Conflict) as fault:
        entered = {"name": name, "url": url, "secret_variable": secret_variable}
        return await _render_page(request, resources, fault.status, message=fault.message, host=None, entered=entered)
    return _page_of(config.name)


@router.post("/{name}/change")
async def change_inference_host_form(
    _: OwnerAccess,
    request: Request,
    resources: ResourcesDep,
    name: HostName,
    url: UrlField,
    secret_variable: VariableField = "",
) -> Response:
    """Set URL and secret variable. An empty `secret_variable`: it needs no secret."""
    try:
        await service.change(
            resources.database,
            resources.settings,
            name,
            url=url.strip(),
            secret_variable=secret_variable.strip(),
        )
    except BadInput as fault:
        entered = {"url": url, "secret_variable": secret_variable}
        return await _render_page(request, resources, fault.status, message=fault.message, host=name, entered=entered)
    return _page_of(name)


@router.get("/{name}/change")
async def redirect_to_inference_hosts(_: OwnerAccess, name: HostName) -> RedirectResponse:
    """The address of the page that showed a problem leads to the list."""
    return RedirectResponse(PAGE, status_code=303, headers=NO_STORE)


@router.post("/{name}/enable")
async def enable_inference_host(_: OwnerAccess, resources: ResourcesDep, name: HostName) -> RedirectResponse:
    await service.change(resources.database, resources.settings, name, enabled=True)
    return _page_of(name)


@router.post("/{name}/disable")
async def disable_inference_host(_: OwnerAccess, resources: ResourcesDep, name: HostName) -> RedirectResponse:
    await service.change(resources.database, resources.settings, name, enabled=False)
    return _page_of(name)


@router.post("/{name}/remove")
async def remove_inference_host_form(_: OwnerAccess, resources: ResourcesDep, name: HostName) -> RedirectResponse:
    await service.remove(resources.database, resources.settings, name)
    return RedirectResponse(PAGE, status_code=303, headers=NO_STORE)
