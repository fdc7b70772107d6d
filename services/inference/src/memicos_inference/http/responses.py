"""HTTP responses from jobs of the model's thread. A closed connection cancels the job."""

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from memicos_service.errors import unexpected_error_message
from memicos_service.json_escapes import escape_line_breaks

from memicos_inference.http.errors import Cause, ErrorBody, Fault
from memicos_inference.http.request_context import request_context
from memicos_inference.http.sse import Events, event
from memicos_inference.scheduler.jobs import Job, TextJob
from memicos_inference.scheduler.pending_request import PendingRequest
from memicos_inference.scheduler.scheduler import Scheduler
from memicos_inference.settings import Settings

log = logging.getLogger(__name__)

CHUNK_BYTES = 2**20
"""Bytes of a response body that are passed to the connection at a time."""


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


def scheduler_of(request: Request) -> Scheduler:
    return request.app.state.scheduler


def client_of(request: Request, settings: Settings) -> str:
    """Id of the client, for fairness between clients: the header X-Client-ID, else the address.

    The header counts only with the secret or the client key: other senders could claim a new id with each request.
    """
    address = request.client.host if request.client else ""
    if settings.secret is None:
        sent_key = request.headers.get("X-Client-Key", "").encode("latin-1")
        key = settings.client_key
        if key is None or not hmac.compare_digest(sent_key, key.get_secret_value().encode()):
            return address
    return request.headers.get("X-Client-ID", address)


def _submit(request: Request, job: Job | TextJob[Any]) -> PendingRequest:
    return scheduler_of(request).submit(job, client_of(request, request.app.state.settings))


async def json_response(request: Request, job: Job | TextJob[Any]) -> Response:
    """Run `job` and respond with its JSON."""
    return await _last_body(request, _submit(request, job))


async def generation_response(request: Request, job: TextJob[Any], stream: bool) -> Response:
    """Run `job` and respond with its last JSON, or with `stream` with each JSON as a server-sent event.

    Bodies that are `Events` already are sent as they are. An error before the first body is an error response also
    with `stream`: the stream begins with the first body.
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
    """The events of a stream. An error that ends it early is sent as an event named `error`."""
    async with aclosing(bodies):
        yield _as_event(body)
        try:
            async for body in bodies:
                yield _as_event(body)
        except Fault as fault:
            yield _error(fault.cause, fault.message)
        except Exception:  # the response has begun, so that only the stream can report the error
            log.exception("a stream ended early")
            yield _error("internal", unexpected_error_message())


def _as_event(body: bytes) -> Events:
    return body if isinstance(body, Events) else event(body)


def _error(cause: Cause, message: str) -> Events:
    request_context().cause = cause
    return event(ErrorBody(error=message, cause=cause).model_dump_json().encode(), "error")


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
    return json_body(body)


def json_body(body: bytes) -> Response:
    """A response of JSON, which is passed to the connection in parts where it is large."""
    body = escape_line_breaks(body)
    if len(body) <= CHUNK_BYTES:
        return Response(body, media_type="application/json")
    headers = {"Content-Length": str(len(body))}
    return StreamingResponse(_chunks(body), media_type="application/json", headers=headers)


async def _chunks(body: bytes) -> AsyncGenerator[bytes, None]:
    """Parts of the body. The server copies one part at a time, when the connection has room for it."""
    for first in range(0, len(body), CHUNK_BYTES):
        yield body[first : first + CHUNK_BYTES]


async def _unless_disconnected(request: Request, awaitable: Any) -> Any:
    """The result of `awaitable`; None where the client disconnects first, and then `awaitable` is cancelled."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    result = asyncio.ensure_future(awaitable)
    disconnect = asyncio.create_task(disconnected())
    try:
        await asyncio.wait((result, disconnect), return_when=asyncio.FIRST_COMPLETED)
        return result.result() if result.done() else None
    finally:
        result.cancel()
        disconnect.cancel()
        # a generator that still runs cannot be closed
        await asyncio.gather(result, disconnect, return_exceptions=True)
