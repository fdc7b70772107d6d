"""Routes of steering: JSON, or server-sent events."""

from typing import Any

from fastapi import APIRouter, Request, Response
from memicos_service.openapi.events import MESSAGE, events_response

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.inference.service import InferenceDep
from memicos_webapp.steering import event_stream, page_link, service
from memicos_webapp.steering.event_stream import DELTA
from memicos_webapp.steering.schemas import (
    SteerAnswer,
    SteerChatAnswer,
    SteerChatRequest,
    SteerDelta,
    SteerRequest,
    SteerResult,
)

router = APIRouter(
    tags=["steer"],
    responses={
        400: {
            "model": ErrorBody,
            "description": "Too many features or tokens, too large a strength, or the prompt is over the token limit",
        },
        404: {"model": ErrorBody, "description": "Unknown model, source or index"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        429: {
            "model": ErrorBody,
            "description": "Too many steering requests of this visitor are in progress; Retry-After says when to "
            "repeat",
        },
        502: {"model": ErrorBody, "description": "The inference server failed, or its response cannot be read"},
        503: {"model": ErrorBody, "description": "Inference is down, loading or busy; Retry-After says when to repeat"},
    },
)


def _with_events(answer: type[SteerResult]) -> dict[int | str, dict[str, Any]]:
    """The 200 response of a route that also answers with events."""
    return events_response({MESSAGE: answer, DELTA: SteerDelta, "error": ErrorBody}, {DELTA: "delta"})


@router.post("/steer", summary="Steer a completion", response_model=SteerAnswer, responses=_with_events(SteerAnswer))
async def steer(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: SteerRequest
) -> Response | SteerAnswer:
    """Continue a prompt, steered and unsteered. Completions come without the prompt.

    With `stream` every server-sent event is the whole response so far; the last one has `shareUrl`, and the
    log-probabilities, which `frame_logprobs` puts into every event. With `delta` as well, events named `delta` hold
    new text only, and the last event the whole response. A stream that fails ends in an event named `error`. Closing
    the connection stops the generation.

    The number of features (MEMICOS_STEER_FEATURES), of generated tokens (MEMICOS_STEER_TOKENS), the strength
    (MEMICOS_STEER_STRENGTH) and the length of the prompt (TOKEN_LIMIT of the inference server) have limits; beyond
    them the response is 400.
    """
    vectors = await service.check(database, viewer, request.app.state.settings, body, body.features)
    run = service.completion_run(inference, body, vectors, page_link.completion_link(request, body))
    return await event_stream.respond(request, run, body)


@router.post(
    "/steer-chat", summary="Steer a chat", response_model=SteerChatAnswer, responses=_with_events(SteerChatAnswer)
)
async def steer_chat(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: SteerChatRequest
) -> Response | SteerChatAnswer:
    """Generate the next message of a conversation, steered and unsteered. Without features only DEFAULT is generated.

    With `stream` every server-sent event is the whole response so far; the last one has `shareUrl`, and the
    log-probabilities, which `frame_logprobs` puts into every event. With `delta` as well, events named `delta` hold
    new text only, and the last event the whole response. A stream that fails ends in an event named `error`. Closing
    the connection stops the generation.

    The number of features (MEMICOS_STEER_FEATURES), of generated tokens (MEMICOS_STEER_TOKENS), the strength
    (MEMICOS_STEER_STRENGTH) and the length of the prompt (TOKEN_LIMIT of the inference server) have limits; beyond
    them the response is 400.
    """
    vectors = await service.check(database, viewer, request.app.state.settings, body, body.features)
    run = service.chat_run(inference, body, vectors, page_link.chat_link(request, body))
    return await event_stream.respond(request, run, body)
