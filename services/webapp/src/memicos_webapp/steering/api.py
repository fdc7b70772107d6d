"""JSON and server-sent events of steering."""

from typing import Any

from fastapi import APIRouter, Request, Response

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.inference.service import InferenceDep
from memicos_webapp.steering import links, service, stream
from memicos_webapp.steering.schemas import SteerAnswer, SteerChatAnswer, SteerChatRequest, SteerRequest

router = APIRouter(
    tags=["steer"],
    responses={
        400: {"model": ErrorBody, "description": "A limit is passed, or the prompt is too long"},
        404: {"model": ErrorBody, "description": "Unknown model, source or index"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        503: {"model": ErrorBody, "description": "Inference is down, loading or busy"},
    },
)


def _or_events(answer: str) -> dict[int | str, dict[str, Any]]:
    """The 200 answer as events too, by name what they hold; "message" are those without a name."""
    schemas = {"message": answer, "error": ErrorBody.__name__}
    named = {name: {"$ref": f"#/components/schemas/{schema}"} for name, schema in schemas.items()}
    return {200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "x-events": named}}}}


@router.post("/steer", response_model=SteerAnswer, responses=_or_events("SteerAnswer"))
async def steer(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: SteerRequest
) -> Response | SteerAnswer:
    """Continue a prompt steered and as the model is; answers have the completions without the prompt.

    With `stream` every server-sent event is the whole answer so far; the last one has `shareUrl`. What ends a stream
    early is told in an event named `error`.
    """
    await service.check(database, viewer, request.app.state.settings, body, body.features)
    answers = service.complete(inference, body, links.share_completion(request, body))
    return await stream.streamed(answers) if body.stream else await stream.last(answers)


@router.post("/steer-chat", response_model=SteerChatAnswer, responses=_or_events("SteerChatAnswer"))
async def steer_chat(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, body: SteerChatRequest
) -> Response | SteerChatAnswer:
    """Answer in a conversation, steered and as the model is. Without features only DEFAULT is generated.

    With `stream` every server-sent event is the whole answer so far; the last one has `shareUrl`. What ends a stream
    early is told in an event named `error`.
    """
    await service.check(database, viewer, request.app.state.settings, body, body.features)
    answers = service.chat(inference, body, links.share_chat(request, body))
    return await stream.streamed(answers) if body.stream else await stream.last(answers)
