"""Routes of steered generation. With `stream` in the body they answer in server-sent events."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from memicos_inference.http.errors import ErrorBody
from memicos_inference.http.responses import generation_response
from memicos_inference.scheduler.jobs import GenerationJob
from memicos_inference.steering import service
from memicos_inference.steering.schemas import (
    DELTA,
    ChatRequest,
    ChatResponse,
    CompletionRequest,
    CompletionResponse,
    SteerDelta,
)

router = APIRouter(prefix="/v1/steer", tags=["steer"])


def _or_events(answer: str) -> dict[int | str, dict[str, Any]]:
    """The 200 answer as events too, by name what they hold; "message" are those without a name."""
    schemas = {"message": answer, DELTA: SteerDelta.__name__, "error": ErrorBody.__name__}
    named = {name: {"$ref": f"#/components/schemas/{schema}"} for name, schema in schemas.items()}
    return {200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "x-events": named}}}}


@router.post(
    "/completion",
    response_model=CompletionResponse,
    responses=_or_events("CompletionResponse"),
    summary="Continue a text, steered and as it is",
)
async def steer_completion(body: CompletionRequest, request: Request) -> Response:
    return await generation_response(request, GenerationJob(partial(service.completion, body=body)), body.stream)


@router.post(
    "/completion-chat",
    response_model=ChatResponse,
    responses=_or_events("ChatResponse"),
    summary="Answer in a conversation, steered and as the model is",
)
async def steer_completion_chat(body: ChatRequest, request: Request) -> Response:
    return await generation_response(request, GenerationJob(partial(service.chat, body=body)), body.stream)
