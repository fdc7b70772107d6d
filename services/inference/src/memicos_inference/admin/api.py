"""Routes that change what is served while the server runs."""

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.admin import roots, service
from memicos_inference.admin.schemas import AddSourcesRequest, AddSourcesResponse, RemoveSourceResponse
from memicos_inference.http.responses import json_response, scheduler_of
from memicos_inference.scheduler.jobs import DirectJob
from memicos_inference.settings import Settings

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.post("/sources", response_model=AddSourcesResponse, summary="Serve further sources, until the server ends")
async def add_sources(body: AddSourcesRequest, request: Request) -> Response:
    settings: Settings = request.app.state.settings
    roots.check_secret(settings)
    scheduler_of(request).check_ready()
    # what the hub sends must not hold up the model
    prepared = await asyncio.to_thread(service.find_sources, settings, body.spec)
    return await json_response(request, DirectJob(partial(service.add, prepared=prepared)))


@router.delete("/sources/{source_id:path}", response_model=RemoveSourceResponse, summary="Serve a source no longer")
async def remove_source(source_id: str, request: Request) -> Response:
    roots.check_secret(request.app.state.settings)
    return await json_response(request, DirectJob(partial(service.remove, source_id=source_id)))
