"""Routes that say what this server is and how far it is."""

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client.exposition import choose_encoder

from memicos_inference.http.responses import json_response, scheduler_of
from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.jobs import DirectJob
from memicos_inference.status import service
from memicos_inference.status.schemas import CapabilitiesResponse, HealthResponse

health_router = APIRouter(tags=["health"])
router = APIRouter(prefix="/v1", tags=["capabilities"])


@health_router.get("/health", summary="Whether the server is up, and whether the model is loaded")
async def health(request: Request) -> HealthResponse:
    return service.health(scheduler_of(request).progress, request.app.state.verification)


@health_router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Numbers for Prometheus."""
    metrics: Metrics = request.app.state.metrics
    metrics.tasks.set(len(asyncio.all_tasks()))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    body = await run_in_threadpool(encode, metrics.registry)
    return Response(body, headers={"Content-Type": media_type})


@router.get("/capabilities", response_model=CapabilitiesResponse, summary="What this server runs")
async def capabilities(request: Request) -> Response:
    return await json_response(
        request, DirectJob(partial(service.capabilities, verification=request.app.state.verification))
    )
