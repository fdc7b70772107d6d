"""Routes for steered generation. With `stream` in the request they respond with server-sent events."""

from typing import Any

from fastapi import APIRouter, Request, Response
from memicos_service.openapi.events import MESSAGE, events_response

from memicos_inference.http.errors import ErrorBody
from memicos_inference.http.responses import generation_response
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


def _with_events(response: type[CompletionResponse | ChatResponse]) -> dict[int | str, dict[str, Any]]:
    """The 200 response of a route that also responds with events."""
    return events_response({MESSAGE: response, DELTA: SteerDelta, "error": ErrorBody}, {DELTA: "stream_deltas"})


@router.post(
    "/completion",
    response_model=CompletionResponse,
    responses=_with_events(CompletionResponse),
    summary="Continue a text with and without steering",
)
async def steer_completion(body: CompletionRequest, request: Request) -> Response:
    """Continue a text, with steering directions (`STEERED`) and without (`DEFAULT`).

    Responds with JSON, or with `stream` with server-sent events, each with the whole response so far or, with
    `stream_deltas`, its new part.

    Errors: 400 for an unknown model, source, index or hook point, not exactly one of `features` and `vectors`,
    `STEERED` without a direction, more than `max_steered` directions, more than `max_completion_tokens`, a prompt of
    more than `token_limit` tokens, prompt and completion together beyond `context`, or keys and values beyond the
    setting INFERENCE_KV_BYTES. An error after a stream has begun is sent as an event named `error`, the last one.
    """
    return await generation_response(request, service.completion_job(body), body.stream)


@router.post(
    "/completion-chat",
    response_model=ChatResponse,
    responses=_with_events(ChatResponse),
    summary="Continue a conversation with and without steering",
)
async def steer_completion_chat(body: ChatRequest, request: Request) -> Response:
    """Generate the assistant's turn of a conversation, with steering directions (`STEERED`) and without (`DEFAULT`).

    Responds with JSON, or with `stream` with server-sent events, each with the whole response so far or, with
    `stream_deltas`, its new part.

    Errors: 400 for an unknown model, source, index or hook point, not exactly one of `features` and `vectors`,
    `STEERED` without a direction, more than `max_steered` directions, more than `max_completion_tokens`, a prompt of
    more than `token_limit` tokens, prompt and completion together beyond `context`, or keys and values beyond the
    setting INFERENCE_KV_BYTES. An error after a stream has begun is sent as an event named `error`, the last one.
    """
    return await generation_response(request, service.chat_job(body), body.stream)
