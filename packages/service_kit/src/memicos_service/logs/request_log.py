"""One log line per request, written when it ends. The line never holds what the client sent, only the route's path."""

import logging
import re
import time
from dataclasses import dataclass
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_ROUTE = "other"
"""Route of requests that match none, or that were refused before routing."""
CLIENT_CLOSED = 499
"""Status of a request whose client disconnected before the response was complete (nginx's convention)."""
CLIENT_DISCONNECTED = "client_disconnected"
"""Entry of a request's `state`, set by the connection that was closed before the response was complete."""
VALID_ID = re.compile(r"[!-~]{1,128}")


def request_id() -> str:
    """Id of the current request: the client's X-Request-ID where it is valid, else a random one."""
    return correlation_id.get() or "-"


def is_valid_id(value: str) -> bool:
    """Whether a client's X-Request-ID is accepted: 1 to 128 visible ASCII characters."""
    return VALID_ID.fullmatch(value) is not None


@dataclass(frozen=True)
class FinishedRequest:
    """`seconds` from the first byte to the last; `crashed`: an exception reached the middleware."""

    scope: Scope
    route: str
    status: int
    seconds: float
    crashed: bool


class RequestObserver:
    """Callbacks for the requests of a service. Subclasses change the log level, add fields, count metrics."""

    def __init__(self, log_all: bool = True) -> None:
        """`log_all` False: successful requests are logged at DEBUG."""
        self.log_all = log_all

    def route(self, scope: Scope) -> str:
        """The route's path as declared, `/v1/{name}`; the path as sent is never logged."""
        return getattr(scope.get("route"), "path", NO_ROUTE)

    def started(self) -> None:
        """Called when a request begins, in its task."""

    def first_event(self, scope: Scope, seconds: float) -> None:
        """Called when the first bytes of an event stream were sent, `seconds` after the request began."""

    def finished(self, request: FinishedRequest) -> None:
        """Called once when the request has ended, successfully or not, before its line is written."""

    def level(self, request: FinishedRequest) -> int:
        """Log level of the line. 503 is a normal response of a busy server, not a failure."""
        if request.status >= 500 and request.status != 503:
            return logging.WARNING
        return logging.INFO if self.log_all else logging.DEBUG

    def fields(self, request: FinishedRequest) -> dict[str, Any]:
        """Further fields of the line, besides method, route, status and seconds."""
        return {}


class RequestLog:
    """The middleware. It is the outermost one, so that refused requests are logged too."""

    def __init__(self, app: ASGIApp, logger: logging.Logger, observer: RequestObserver) -> None:
        self.app = app
        self._logger = logger
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self._observer.started()
        started = time.perf_counter()
        status = 0
        streaming = complete = crashed = False

        async def send_observed(message: Message) -> None:
            nonlocal status, streaming, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                content_type = Headers(raw=message["headers"]).get("content-type", "")
                streaming = content_type.startswith("text/event-stream")
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
                if streaming and message.get("body"):
                    streaming = False  # only the first event is timed
                    self._observer.first_event(scope, time.perf_counter() - started)
            await send(message)

        try:
            await self.app(scope, receive, send_observed)
        except ClientDisconnect:
            raise
        except Exception:
            status, complete, crashed = 500, True, True
            raise
        finally:
            seconds = time.perf_counter() - started
            # a handler that does not watch its client ends with a response that nobody gets
            disconnected = CLIENT_DISCONNECTED in scope.get("state", {}) and not crashed
            route = self._observer.route(scope)
            status = CLIENT_CLOSED if disconnected or not complete else status
            self._finish(FinishedRequest(scope, route, status, seconds, crashed))

    def _finish(self, request: FinishedRequest) -> None:
        self._observer.finished(request)
        level = self._observer.level(request)
        if self._logger.isEnabledFor(level):
            fields = {
                "method": request.scope["method"],
                "route": request.route,
                "status": request.status,
                "seconds": round(request.seconds, 4),
            }
            self._logger.log(level, "request", extra=fields | self._observer.fields(request))


def install(app: FastAPI, logger: logging.Logger, observer: RequestObserver) -> None:
    """Add request ids and the request log to `app`. Call it last: the middleware added last is the outermost."""
    app.add_middleware(RequestLog, logger=logger, observer=observer)
    app.add_middleware(CorrelationIdMiddleware, validator=is_valid_id)
