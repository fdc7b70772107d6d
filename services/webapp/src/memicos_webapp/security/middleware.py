"""Middleware that checks every request before routing, and adds security headers to every response.

1. `Host` must be an allowed name, which stops DNS rebinding: a page of another site reaching a loopback server.
2. A state change is refused where the browser says that another site's page makes it, and so is a load as a part of
   another site's page: as an image, a script, or a frame of a page that is not made for that. Links are followed.
   Programs send no such header.
3. A NUL character in the address is refused.
4. A body over the limit is refused before it is read, and the bodies of one visitor are read at a limited pace.
5. Every response has a content security policy without inline scripts and styles; only the pages of
   `security/embedding.py` may be framed by other sites.
"""

import time
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from memicos_service.security.guards import limit_body
from memicos_service.security.host_names import is_allowed
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_webapp.errors import Refused, error_response
from memicos_webapp.inference.visitors import set_visitor
from memicos_webapp.security.body_pace import BodyPace
from memicos_webapp.security.embedding import is_embedded
from memicos_webapp.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-src 'self'; frame-ancestors {}"
)
OWN_PAGES_POLICY = POLICY.format("'self'")
EMBEDDED_POLICY = POLICY.format("*")
OTHER_SITE = "Refused: a page of another site made this request."
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
UPLOAD_PARTS = "/api/dataset-upload/part/"
"""Beginning of the paths that take a part of an uploaded dataset."""
CACHEABLE_STATUSES = {200, 206, 304}
"""Responses of `/static` that browsers may keep for a year; an error would hide a file that appears later."""


def is_cross_site_change(method: str, headers: Headers) -> bool:
    """Whether a browser says that a page of another site makes this state change."""
    if method in SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def is_cross_site_part(method: str, headers: Headers, embedded: bool) -> bool:
    """Whether a browser says that a page of another site loads this address as a part of itself.

    Args:
        embedded: the address is a page for frames of other sites.
    """
    if method not in SAFE_METHODS or headers.get("sec-fetch-site") not in ("cross-site", "same-site"):
        return False
    if headers.get("sec-fetch-mode") != "navigate":
        return True
    return headers.get("sec-fetch-dest", "document") != "document" and not embedded


async def refuse_other_sites(request: Request) -> None:
    """Dependency of GET routes that run a model: links of other sites to them are refused too.

    Raises:
        Refused: a browser says that a page of another site made the request.
    """
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise Refused(OTHER_SITE)


class Guard:
    """The checks above. Routes also get the path without its trailing slash, and GET in place of HEAD."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = settings.hosts
        self.body_bytes = settings.body_bytes
        self.part_bytes = settings.upload_part_bytes
        self.pace = BodyPace(settings.body_bytes_per_second, settings.body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        is_head = scope["method"] == "HEAD"
        # uvicorn reads the method from its own scope: leave that one unchanged
        outer, scope = scope, {**scope, "path": scope["path"].rstrip("/") or "/"}
        if is_head:
            scope["method"] = "GET"
        embedded = is_embedded(scope["path"], scope["query_string"].decode("latin-1"))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if embedded:
                    headers.setdefault("Content-Security-Policy", EMBEDDED_POLICY)
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
        refusal = self._refusal(request, embedded)
        if refusal:
            return await error_response(request, *refusal)(scope, receive, send_guarded)
        address = request.client.host if request.client else ""
        set_visitor(address)
        body = limit_body(receive, self._body_limit(request))
        if not _is_upload_part(request):
            body = self.pace.limit(body, address)
        try:
            await self.app(scope, body, send_guarded)
        finally:
            # for the request log
            outer["route"] = scope.get("route")

    def _refusal(self, request: Request, embedded: bool) -> tuple[int, str] | None:
        headers = request.headers
        host = headers.get("host", "")
        if not is_allowed(host, self.hosts):
            return 403, f"The host name {host[:100]!r} is not allowed; add it to MEMICOS_ALLOWED_HOSTS."
        if is_cross_site_change(request.method, headers) or is_cross_site_part(request.method, headers, embedded):
            return 403, OTHER_SITE
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            return 400, "The address has a NUL character, which is not allowed."
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            return 400, f"Content-Length is not a number: {length!r}."
        limit = self._body_limit(request)
        if int(length) > limit:
            return 413, f"The body has {length} bytes; at most {limit} are taken."
        return None

    def _body_limit(self, request: Request) -> int:
        """Bytes of the body: parts of an upload have a limit of their own."""
        return self.part_bytes if _is_upload_part(request) else self.body_bytes


def _is_upload_part(request: Request) -> bool:
    return request.url.path.startswith(UPLOAD_PARTS)


def install(app: FastAPI, settings: Settings) -> None:
    app.add_middleware(Guard, settings=settings)
