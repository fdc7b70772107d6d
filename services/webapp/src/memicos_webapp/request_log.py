"""Each request gets a line in the log when it ends, with its id. What was sent is in none; inference is told the id."""

import logging
import re
import time

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_webapp.inference.visitors import visitor

log = logging.getLogger("memicos_webapp.requests")

NOWHERE = "other"
"""The route of what none was found for, or what was refused before one was looked for."""
STATIC = "/static"
"""Several of a page: their lines are at level DEBUG."""
LEFT = 499
"""Status of a request whose visitor has gone before its answer was complete."""
SANE_ID = re.compile(r"[!-~]{1,128}")


def request_id() -> str:
    """Of the request that this is about."""
    return correlation_id.get() or "-"


def is_sane_id(given: str) -> bool:
    """Whether a caller's X-Request-ID is taken: visible ASCII, at most 128 characters."""
    return SANE_ID.fullmatch(given) is not None


class RequestLog:
    """Outside of all else but the request's id, so that refusals of any kind are seen.

    Without `every` only requests that failed have a line at a level above DEBUG; "not now" (503) is no failure.
    """

    def __init__(self, app: ASGIApp, every: bool) -> None:
        self.app = app
        self._every = every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.perf_counter()
        status = 0
        complete = False

        async def noting(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except ClientDisconnect:
            raise
        except Exception:
            status, complete = 500, True
            raise
        finally:
            self._ended(scope, status if complete else LEFT, time.perf_counter() - began)

    def _ended(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        level = logging.INFO if self._every and route != STATIC else logging.DEBUG
        if status >= 500 and status != 503:
            level = logging.WARNING
        if log.isEnabledFor(level):
            fields = {"method": scope["method"], "route": route, "status": status, "seconds": round(seconds, 4)}
            log.log(level, "request", extra=fields | ({"client": visitor()} if visitor() else {}))


def route_of(scope: Scope) -> str:
    """The route's path as it is declared: in a path as it was sent there could be anything."""
    if scope["path"].startswith(f"{STATIC}/"):
        return STATIC
    path = getattr(scope.get("route"), "path", None)
    if path is None:
        return NOWHERE
    # FastAPI notes a router's own path, without what the router was included under
    return f"/api{path}" if scope["path"].startswith("/api/") else path


def install(app: FastAPI, every: bool) -> None:
    """To be called last: what is added last is outermost."""
    app.add_middleware(RequestLog, every=every)
    app.add_middleware(CorrelationIdMiddleware, validator=is_sane_id)
