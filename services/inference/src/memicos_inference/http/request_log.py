"""Each request is counted and gets a line in the log when it ends, with its id. What was sent is in neither."""

import hashlib
import logging
import secrets
import time

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_inference.http.request_context import RequestContext, begin, is_valid_id
from memicos_inference.metrics import Metrics

log = logging.getLogger("memicos_inference.requests")

QUIET = {"/health", "/metrics"}
"""Asked every few seconds: their lines are at level DEBUG."""
NOWHERE = "other"
"""The endpoint of what no route was found for, or what was refused before one was looked for."""
LEFT = 499
"""Status of a request whose client has gone before its answer was complete."""
_SALT = secrets.token_bytes(16)


class RequestLog:
    """Outside of all else but the request's id, so that refusals of any kind are seen.

    Without `every` only requests that failed on our side have a line at a level above DEBUG.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, every: bool) -> None:
        self.app = app
        self._metrics = metrics
        self._every = every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        asked = begin()
        began = time.perf_counter()
        status = 0
        stream = complete = False

        async def noting(message: Message) -> None:
            nonlocal status, stream, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                stream = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
                if stream and message.get("body"):
                    stream = False  # the first only
                    self._metrics.streamed(endpoint_of(scope), time.perf_counter() - began)
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except ClientDisconnect:
            raise
        except Exception:
            status, complete, asked.cause = 500, True, "internal"
            raise
        finally:
            self._ended(scope, asked, status if complete else LEFT, time.perf_counter() - began)

    def _ended(self, scope: Scope, asked: RequestContext, status: int, seconds: float) -> None:
        endpoint = endpoint_of(scope)
        self._metrics.answered(endpoint, status, seconds)
        if asked.cause is not None:
            self._metrics.refused(asked.cause)
        level = logging.WARNING if asked.cause == "internal" else logging.INFO if self._every else logging.DEBUG
        if endpoint in QUIET:
            level = logging.DEBUG
        if log.isEnabledFor(level):
            log.log(level, "request", extra=_fields(scope, asked, endpoint, status, seconds))


def endpoint_of(scope: Scope) -> str:
    """The route's path as it is declared: a path as it was sent could be anything."""
    return getattr(scope.get("route"), "path", NOWHERE)


def _fields(scope: Scope, asked: RequestContext, endpoint: str, status: int, seconds: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "method": scope["method"],
        "route": endpoint,
        "status": status,
        "seconds": round(seconds, 4),
    }
    if asked.waited is not None:
        fields["waited_seconds"] = round(asked.waited, 4)
    if asked.tokens_in:
        fields |= {"tokens_in": asked.tokens_in, "tokens_out": asked.tokens_out}
    if asked.cause is not None:
        fields["cause"] = asked.cause
    if client := Headers(scope=scope).get("x-client-id"):
        # clients can be told apart, and what they say they are is not kept
        fields["client"] = hashlib.sha256(_SALT + client.encode()).hexdigest()[:16]
    return fields


def install(app: FastAPI, metrics: Metrics, every: bool) -> None:
    """To be called last: what is added last is outermost."""
    app.add_middleware(RequestLog, metrics=metrics, every=every)
    app.add_middleware(CorrelationIdMiddleware, validator=is_valid_id)
