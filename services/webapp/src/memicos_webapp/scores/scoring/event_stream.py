"""Responses with a new score: JSON, or server-sent events of its progress."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi.responses import StreamingResponse
from memicos_service.errors import unexpected_error_message
from memicos_service.json_escapes import escape_line_breaks
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import ErrorBody, Fault, UpstreamFault
from memicos_webapp.scores import service
from memicos_webapp.scores.rows import ScoreRow
from memicos_webapp.scores.schemas import ScoreBody, ScoreGenerated, ScoreStep

log = logging.getLogger(__name__)

STEP = "step"
"""Name of the events that hold a `ScoreStep`."""

Parts = AsyncGenerator[ScoreStep | ScoreRow]


async def last_score(database: Database, viewer: Viewer, parts: Parts) -> ScoreGenerated:
    """The score at the end of `parts`.

    Raises:
        Fault: there is none.
    """
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, ScoreRow):
                return await _generated(database, viewer, part)
    raise UpstreamFault("The autointerp server ended without a score; try again.")


async def _generated(database: Database, viewer: Viewer, row: ScoreRow) -> ScoreGenerated:
    async with database.snapshot() as session:
        detail = await service.find(session, viewer, row.id)
    return ScoreGenerated(score=ScoreBody.from_row(detail.score, detail.texts))


class ScoreStream(StreamingResponse):
    """The events of a score. The work ends when the client disconnects: no further request is paid."""

    media_type = "text/event-stream"

    def __init__(self, database: Database, viewer: Viewer, parts: Parts, with_steps: bool) -> None:
        self._events = _events(database, viewer, parts, with_steps)
        super().__init__(self._events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()


async def _events(database: Database, viewer: Viewer, parts: Parts, with_steps: bool) -> AsyncGenerator[str]:
    async with aclosing(parts):
        try:
            async for part in parts:
                if isinstance(part, ScoreRow):
                    yield _event(await _generated(database, viewer, part))
                    return
                if with_steps:
                    yield _event(part, STEP)
            raise UpstreamFault("The autointerp server ended without a score; try again.")
        except Fault as fault:
            yield _event(ErrorBody(error=fault.message, message=fault.message), "error")
        except Exception:  # the status has been sent: an error can only be reported in the stream
            log.exception("a score was interrupted")
            message = unexpected_error_message()
            yield _event(ErrorBody(error=message, message=message), "error")


def _event(data: BaseModel, name: str | None = None) -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {escape_line_breaks(data.model_dump_json().encode()).decode()}\n\n"
