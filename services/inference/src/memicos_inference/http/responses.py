"""From work in the model's thread to an answer; a closed connection ends the work."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from memicos_service.errors import unexpected_error_message

from memicos_inference.http.errors import Cause, ErrorBody, Fault
from memicos_inference.http.request_context import request_context
from memicos_inference.http.sse import Events, event
from memicos_inference.scheduler.jobs import GenerationJob, Job
from memicos_inference.scheduler.pending_request import PendingRequest
from memicos_inference.scheduler.scheduler import Scheduler
from memicos_inference.settings import Settings

log = logging.getLogger(__name__)

PIECE = 2**20
"""Bytes of an answer that are handed to the connection at a time."""


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


def scheduler_of(request: Request) -> Scheduler:
    return request.app.state.scheduler


def client_of(request: Request, settings: Settings) -> str:
    """Who takes turns with others: whom the webapp says that it asks for, else the address.

    The header is believed of who has the secret, or is on this machine: others could be somebody new each time.
    """
    address = request.client.host if request.client else ""
    if settings.secret is not None or _is_loopback(address):
        return request.headers.get("X-Client-ID", address)
    return address


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _submit(request: Request, job: Job) -> PendingRequest:
    return scheduler_of(request).submit(job, client_of(request, request.app.state.settings))


async def json_response(request: Request, job: Job) -> Response:
    """The JSON that `job` gives."""
    return await _last_body(request, _submit(request, job))


async def generation_response(request: Request, job: GenerationJob, stream: bool) -> Response:
    """The last JSON that `job` gives, or with `stream` each as a server-sent event, and events as they are.

    Refusals come as errors either way: a stream begins with its first body.
    """
    pending = _submit(request, job)
    if not stream:
        return await _last_body(request, pending)
    bodies = pending.bodies()
    first = await _unless_disconnected(request, anext(bodies))
    if first is None:
        await bodies.aclose()
        return Response(status_code=499)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventStream(_events(first, bodies), headers=headers)


async def _events(body: bytes, bodies: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """What ends it early is told in an event named `error`."""
    async with aclosing(bodies):
        yield _framed(body)
        try:
            async for body in bodies:
                yield _framed(body)
        except Fault as fault:
            yield _error(fault.cause, fault.message)
        except Exception:  # the answer has begun: what is left to do is to say so in the stream
            log.exception("a stream broke off")
            yield _error("internal", unexpected_error_message())


def _framed(body: bytes) -> Events:
    return body if isinstance(body, Events) else event(body)


def _error(cause: Cause, words: str) -> Events:
    request_context().cause = cause
    return event(ErrorBody(error=words, cause=cause).model_dump_json().encode(), "error")


async def _last_body(request: Request, pending: PendingRequest) -> Response:
    async def last() -> bytes:
        newest = b""
        async with aclosing(pending.bodies()) as bodies:
            async for body in bodies:
                newest = body
        return newest

    body = await _unless_disconnected(request, last())
    if body is None:
        return Response(status_code=499)
    if len(body) <= PIECE:
        return Response(body, media_type="application/json")
    headers = {"Content-Length": str(len(body))}
    return StreamingResponse(_pieces(body), media_type="application/json", headers=headers)


async def _pieces(body: bytes) -> AsyncGenerator[bytes, None]:
    """Each is copied on its way out, and the next is when there is room for it."""
    for first in range(0, len(body), PIECE):
        yield body[first : first + PIECE]


async def _unless_disconnected(request: Request, coming: Any) -> Any:
    """What `coming` gives; None, and `coming` cancelled, where the client closes the connection first."""

    async def closed() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answer = asyncio.ensure_future(coming)
    end = asyncio.create_task(closed())
    try:
        await asyncio.wait((answer, end), return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        answer.cancel()
        end.cancel()
        # what is still running could not be closed
        await asyncio.gather(answer, end, return_exceptions=True)
