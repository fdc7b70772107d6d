"""Routes that add and remove sources while the server runs."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from memicos_inference.admin import roots, service
from memicos_inference.admin.schemas import AddSourcesRequest, AddSourcesResponse, RemoveSourceResponse
from memicos_inference.http.responses import json_response, scheduler_of
from memicos_inference.scheduler.jobs import DirectJob
from memicos_inference.settings import Settings
from memicos_inference.status.published import PublishedCapabilities

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.post("/sources", response_model=AddSourcesResponse, summary="Add sources")
async def add_sources(body: AddSourcesRequest, request: Request) -> Response:
    """Add sources until the server stops: all sources of an entry, or none.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 400 for an entry that is unknown, does not fit the model or has an id that is in use; 403 if no secret is
    set, or for a folder or repository outside INFERENCE_SAE_ROOTS.
    """
    settings: Settings = request.app.state.settings
    roots.check_secret(settings)
    scheduler_of(request).check_ready()
    # downloads run in another thread, so that they do not block the model
    prepared = await asyncio.to_thread(service.find_sources, settings, body.spec)
    capabilities: PublishedCapabilities = request.app.state.capabilities
    return await json_response(request, DirectJob(partial(service.add, prepared=prepared, capabilities=capabilities)))


@router.delete("/sources/{source_id:path}", response_model=RemoveSourceResponse, summary="Remove a source")
async def remove_source(
    source_id: Annotated[str, Path(description="Id of the source, for example 7-mine.")], request: Request
) -> Response:
    """Remove a source until the server restarts.

    Requires that the setting INFERENCE_SECRET is set.

    Errors: 403 if no secret is set; 404 for an unknown source.
    """
    roots.check_secret(request.app.state.settings)
    capabilities: PublishedCapabilities = request.app.state.capabilities
    job = DirectJob(partial(service.remove, source_id=source_id, capabilities=capabilities))
    return await json_response(request, job)
