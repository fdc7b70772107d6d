"""Routes for the server's state, metrics and capabilities."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client.exposition import choose_encoder

from memicos_inference.http.responses import json_body, scheduler_of
from memicos_inference.metrics import Metrics
from memicos_inference.status import service
from memicos_inference.status.published import PublishedCapabilities
from memicos_inference.status.schemas import CapabilitiesResponse, HealthResponse

health_router = APIRouter(tags=["health"])
router = APIRouter(prefix="/v1", tags=["capabilities"])


@health_router.get("/health", summary="State of the server and the model")
async def health(request: Request) -> HealthResponse:
    """Return the state of the server and the progress of loading.

    Responds at once, also while the model loads and after loading failed. Needs no secret.
    """
    scheduler = scheduler_of(request)
    return service.health(scheduler.progress, request.app.state.verification, scheduler.load)


@health_router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Metrics in the Prometheus format."""
    metrics: Metrics = request.app.state.metrics
    metrics.tasks.set(len(asyncio.all_tasks()))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    body = await run_in_threadpool(encode, metrics.registry)
    return Response(body, headers={"Content-Type": media_type})


@router.get("/capabilities", response_model=CapabilitiesResponse, summary="Model, sources and limits")
async def capabilities(request: Request) -> Response:
    """Return the model, its sources with their recipes, the endpoints, their limitations and the limits of requests.

    Responds at once, also while the model is busy.

    Errors: 503 while the model loads (`loading`) or if it cannot be loaded (`load_failed`).
    """
    published: PublishedCapabilities = request.app.state.capabilities
    return json_body(await run_in_threadpool(published.body, scheduler_of(request).check_ready()))
