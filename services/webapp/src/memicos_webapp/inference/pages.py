"""Fragments with the state of inference; they poll until it is ready."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.catalog.service import get_model, get_source
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.inference.errors import NotReady
from memicos_webapp.inference.service import InferenceDep
from memicos_webapp.templating import render

router = APIRouter(tags=["inference"])


@router.get("/{model}/{source}/inference", response_class=HTMLResponse)
async def source_inference(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, model: str, source: str
) -> HTMLResponse:
    async with database.snapshot() as session:
        await get_source(session, viewer, model, source)
    status = await inference.status(model, [source])
    return render(request, "inference/_status.html", status=status, retry_url=request.url.path)


@router.get("/{model}/inference", response_class=HTMLResponse)
async def model_inference(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, model: str
) -> HTMLResponse:
    async with database.snapshot() as session:
        await get_model(session, viewer, model)
    status = await inference.status(model, [])
    return render(request, "inference/_status.html", status=status, retry_url=request.url.path)


@router.get("/{model}/inference/hosts", response_class=HTMLResponse)
async def model_hosts(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, model: str
) -> HTMLResponse:
    """The inference servers of a model and their states."""
    async with database.snapshot() as session:
        await get_model(session, viewer, model)
    hosts = await inference.hosts.hosts_of_model(model)
    return render(request, "inference/_hosts.html", hosts=hosts, retry_url=request.url.path)


def render_waiting(
    request: Request, fault: NotReady, retry_url: str, fields: dict[str, Any] | None = None
) -> HTMLResponse:
    """A fragment in place of a result: polls `retry_url` until inference is ready; with `fields` by POST."""
    return render(
        request,
        "inference/_waiting.html",
        state=fault.state,
        seconds=2 if fault.state == "loading" else 5,
        message=fault.message,
        retry_url=retry_url,
        fields=fields,
    )
