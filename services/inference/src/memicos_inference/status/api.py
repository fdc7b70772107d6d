"""Routes that say what this server is and how far it is."""

from functools import partial

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from memicos_inference.answers import answer, scheduler_of
from memicos_inference.status import service
from memicos_inference.status.schemas import CapabilitiesResponse, HealthResponse

health_router = APIRouter(tags=["health"])
router = APIRouter(prefix="/v1", tags=["capabilities"])


@health_router.get("/health", summary="Whether the server is up, and whether the model is loaded")
async def health(request: Request) -> HealthResponse:
    return service.health(scheduler_of(request).progress, request.app.state.verification)


@health_router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Numbers for Prometheus."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(request.app.state.metrics.registry), headers={"Content-Type": media_type})


@router.get("/capabilities", response_model=CapabilitiesResponse, summary="What this server runs")
async def capabilities(request: Request) -> Response:
    return await answer(request, partial(service.capabilities, verification=request.app.state.verification))
