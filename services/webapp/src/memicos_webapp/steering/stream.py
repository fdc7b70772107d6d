"""Answers as server-sent events."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from memicos_webapp.errors import ErrorBody, Fault, failure
from memicos_webapp.steering.schemas import Answer

log = logging.getLogger(__name__)

A = TypeVar("A", bound=Answer)


class EventStream(StreamingResponse):
    """Closes its generator when the client has gone, so that the work behind it ends at once."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str]) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()


async def last(answers: AsyncGenerator[A]) -> A:
    """The complete answer.

    Raises:
        Fault: there is none; also where it broke off in the middle.
    """
    answer: A | None = None
    async with aclosing(answers):
        async for newer in answers:
            answer = newer
    assert answer is not None  # a stream without a frame ends in a fault
    return answer


async def streamed(answers: AsyncGenerator[A]) -> EventStream:
    """Each answer as an event. What goes wrong before the first is raised, later it is an event named `error`.

    Raises:
        Fault: there is no first answer.
    """
    first = await anext(answers)
    return EventStream(_events(first, answers))


async def _events(answer: A, answers: AsyncGenerator[A]) -> AsyncGenerator[str]:
    async with aclosing(answers):
        yield _event(answer)
        try:
            async for answer in answers:
                yield _event(answer)
        except Fault as fault:
            yield _error(fault.message)
        except Exception:  # the answer has begun: what is left to do is to say so in the stream
            log.exception("a stream broke off")
            yield _error(failure())


def _event(answer: Answer) -> str:
    return f"data: {answer.model_dump_json(exclude_none=True)}\n\n"


def _error(words: str) -> str:
    return f"event: error\ndata: {ErrorBody(error=words, message=words).model_dump_json()}\n\n"
