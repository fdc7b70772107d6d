"""Responses to steering requests: JSON, or server-sent events of whole responses or of deltas."""

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from memicos_service.disconnect import until_disconnect
from memicos_service.errors import unexpected_error_message
from memicos_service.json_escapes import escape_line_breaks
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from memicos_webapp.errors import ErrorBody, Fault
from memicos_webapp.inference.visitors import visitor
from memicos_webapp.security.stream_slots import Slot, StreamSlots
from memicos_webapp.steering.outputs import InferenceEvent, SteerRun
from memicos_webapp.steering.read_ahead import read_ahead
from memicos_webapp.steering.schemas import SteerResult, SteerSettings

log = logging.getLogger(__name__)

A = TypeVar("A", bound=SteerResult)

DELTA = "delta"
"""Name of the events that hold a `SteerDelta`."""


SLOW_SECONDS = 0.25
"""A reader that takes longer for an event is slow: whole responses are then left out for newer ones."""


class EventStream(StreamingResponse):
    """Closes its generator when the client disconnects, which ends the work at inference, and frees the slot."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str], slot: Slot) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events = events
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slot.free()
            await self._events.aclose()


async def respond(request: Request, run: SteerRun[A], body: SteerSettings) -> EventStream | A:
    """The answer to `body` as JSON or as events, as `body.stream` says.

    Raises:
        Fault: There is no complete answer; of a stream, there is no first event. Or too many are in progress.
    """
    slots: StreamSlots = request.app.state.stream_slots
    with ExitStack() as stack:
        slot = slots.take(visitor())
        stack.callback(slot.free)
        try:
            if not body.stream:
                return await until_disconnect(request, _complete(run))
            first = await until_disconnect(request, _first(run))
        except BaseException:
            await run.events.aclose()
            raise
        stack.pop_all()
    return EventStream(_events(first, run, body), slot)


async def _complete(run: SteerRun[A]) -> A:
    async for event in run.events:
        run.add(event)
    return run.answer()


async def _first(run: SteerRun[A]) -> InferenceEvent:
    return await anext(run.events)


async def _events(first: InferenceEvent, run: SteerRun[A], body: SteerSettings) -> AsyncGenerator[str]:
    """Events from `first` on, the first of `run`. A fault becomes an event named `error`, the last one."""
    async with aclosing(read_ahead(first, run.events)) as batches:
        try:
            slow = False
            async for batch in batches:
                for number, event in enumerate(batch, 1):
                    delta = run.add(event)
                    if delta is None or (slow and not body.delta and number < len(batch)):
                        continue
                    started = time.monotonic()
                    yield _event(delta, DELTA) if body.delta else _event(run.frame(body.frame_logprobs))
                    slow = time.monotonic() - started > SLOW_SECONDS
            yield _event(run.answer())
        except Fault as fault:
            yield _error(fault.message)
        except Exception:  # the status has been sent: an error can only be reported in the stream
            log.exception("a stream was interrupted")
            yield _error(unexpected_error_message())


def _event(data: BaseModel, name: str | None = None) -> str:
    head = f"event: {name}\n" if name else ""
    json = escape_line_breaks(data.model_dump_json(exclude_none=True).encode()).decode()
    return f"{head}data: {json}\n\n"


def _error(message: str) -> str:
    return _event(ErrorBody(error=message, message=message), "error")
