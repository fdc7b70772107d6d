"""Routes of explaining."""

from fastapi import APIRouter, Request

from memicos_autointerp.explain import service
from memicos_autointerp.explain.schemas import ExplainRequest, ExplainResponse

router = APIRouter(prefix="/v1/explain", tags=["explain"])


@router.post("/default", summary="Explain a feature from the texts it fires on")
async def explain_default(body: ExplainRequest, request: Request) -> ExplainResponse:
    return await service.explain(body, request.app.state.settings, request.app.state.http)
