"""Middleware that checks every request before routing, and adds security headers to every response.

1. `Host` must be an allowed name, which stops DNS rebinding: a page of another site reaching a loopback server.
2. A state change is refused where the browser says that another site's page makes it; programs send no such header.
3. A NUL character in the address is refused.
4. A body over the limit is refused before it is read.
5. Every response has a content security policy without inline scripts and styles.
"""

import re
import time
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Request
from memicos_service.guards import limit_body
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_webapp.errors import error_response
from memicos_webapp.inference.visitors import set_visitor
from memicos_webapp.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-src 'self'; frame-ancestors {}"
)
NOT_EMBEDDED = re.compile(r"/account(/|$)")
"""Pages with buttons that change sessions and keys: in a frame of another site they would allow clickjacking."""
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
CACHEABLE_STATUSES = {200, 206, 304}
"""Responses of `/static` that browsers may keep for a year; an error would hide a file that appears later."""


def _host_name(host: str) -> str:
    """A Host header without its port."""
    return host.lower() if host.endswith("]") else host.lower().rsplit(":", 1)[0]


def is_cross_site_change(method: str, headers: Headers) -> bool:
    """Whether a browser says that a page of another site makes this state change."""
    if method in SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class Guard:
    """The checks above. Routes also get the path without its trailing slash, and GET in place of HEAD."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = settings.hosts
        self.body_bytes = settings.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        is_head = scope["method"] == "HEAD"
        # uvicorn reads the method from its own scope: leave that one unchanged
        outer, scope = scope, {**scope, "path": scope["path"].rstrip("/") or "/"}
        if is_head:
            scope["method"] = "GET"
        embed = parse_qs(scope["query_string"].decode("latin-1")).get("embed") == ["true"]
        embed = embed and not NOT_EMBEDDED.match(scope["path"])

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY.format("*" if embed else "'self'"))
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                milliseconds = 1000 * (time.perf_counter() - started)
                headers.setdefault("Server-Timing", f"app;dur={milliseconds:.1f}")
                if scope["path"].startswith("/static/") and message["status"] in CACHEABLE_STATUSES:
                    # scripts import others by a path without a hash; an upgrade may change their content
                    versioned = scope["query_string"].startswith(b"v=")
                    headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        request = Request(scope, receive)
        refusal = self._refusal(request)
        if refusal:
            return await error_response(request, *refusal)(scope, receive, send_guarded)
        set_visitor(request.client.host if request.client else "")
        try:
            await self.app(scope, limit_body(receive, self.body_bytes), send_guarded)
        finally:
            # for the request log
            outer["route"] = scope.get("route")

    def _refusal(self, request: Request) -> tuple[int, str] | None:
        headers = request.headers
        host = headers.get("host", "")
        if "*" not in self.hosts and _host_name(host) not in self.hosts:
            return 403, f"This server does not answer to the name {host!r}; set MEMICOS_ALLOWED_HOSTS."
        if is_cross_site_change(request.method, headers):
            return 403, "Refused: a page of another site made this request."
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            return 400, "The address has a NUL character, which no name or text here can have."
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, f"Content-Length is not a number: {length!r}."
        if int(length) > self.body_bytes:
            return 413, f"The body has {length} bytes; at most {self.body_bytes} are taken."
        return None


def install(app: FastAPI, settings: Settings) -> None:
    app.add_middleware(Guard, settings=settings)
