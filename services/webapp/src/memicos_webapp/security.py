"""What guards the webapp, in the order in which a request meets it (`install` reads from the outside in).

1. `Host` must be a known name, so that a foreign page cannot reach a loopback server by DNS rebinding.
2. A state change that a browser says comes from another site is refused; programs send neither header.
3. A body over the limit is refused before it is read.
4. A NUL in an address or body, and half a surrogate pair in JSON, are no text that anything behind could take.
5. Every answer carries a content security policy without inline scripts or styles.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_webapp.errors import BadInput, Refused, error_response
from memicos_webapp.inference.visitors import set_visitor
from memicos_webapp.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-src 'self'; frame-ancestors {}"
)
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
CACHEABLE_STATUSES = {200, 206, 304}
"""Responses of `/static` that browsers may keep for a year; an error would hide a file that appears later."""


def _name(host: str) -> str:
    """A Host header without its port."""
    return host.lower() if host.endswith("]") else host.lower().rsplit(":", 1)[0]


def foreign(method: str, headers: Headers) -> bool:
    """Whether a browser says that this state change comes from another site's page."""
    if method in SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class Guard:
    """The module's list; for the routes a path without its trailing slash, and GET for HEAD."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = settings.hosts
        self.body_bytes = settings.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        without_body = scope["method"] == "HEAD"
        # the server above reads the method it knows: its own scope stays as it is
        outer, scope = scope, {**scope, "path": scope["path"].rstrip("/") or "/"}
        if without_body:
            scope["method"] = "GET"
        embed = parse_qs(scope["query_string"].decode("latin-1")).get("embed") == ["true"]

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY.format("*" if embed else "'self'"))
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                milliseconds = 1000 * (time.perf_counter() - started)
                headers.setdefault("Server-Timing", f"app;dur={milliseconds:.1f}")
                if scope["path"].startswith("/static/") and message["status"] in CACHEABLE_STATUSES:
                    # scripts import others by a path without a hash, which an upgrade may change
                    versioned = scope["query_string"].startswith(b"v=")
                    headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
            elif without_body:
                message = {**message, "body": b""}
            await send(message)

        request = Request(scope, receive)
        problem = self._problem(request)
        if problem:
            return await error_response(request, *problem)(scope, receive, send_guarded)
        set_visitor(request.client.host if request.client else "")
        try:
            await self.app(scope, self._limited(receive), send_guarded)
        finally:
            # for who logs the request
            outer["route"] = scope.get("route")

    def _problem(self, request: Request) -> tuple[int, str] | None:
        headers = request.headers
        host = headers.get("host", "")
        if "*" not in self.hosts and _name(host) not in self.hosts:
            return 403, f"This server does not answer to the name {host!r}; set MEMICOS_ALLOWED_HOSTS."
        if foreign(request.method, headers):
            return 403, "Refused: this change was asked for by a page of another site."
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            return 400, "The address has a NUL character, which no name or text here can have."
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, f"Content-Length is not a number: {length!r}."
        if int(length) > self.body_bytes:
            return 413, f"The body has {length} bytes; at most {self.body_bytes} are taken."
        return None

    def _limited(self, receive: Receive) -> Receive:
        """`receive` for bodies without Content-Length: refuses once they pass the limit."""
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self.body_bytes:
                    raise HTTPException(413, f"The body has more than {self.body_bytes} bytes.")
            return message

        return limited


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Where each string of a body is, and the string: keys too, and to any depth."""
    rest = [("", value)]
    while rest:
        place, one = rest.pop()
        if isinstance(one, str):
            yield place or "The body", one
        items = one.items() if isinstance(one, Mapping) else enumerate(one) if isinstance(one, list) else ()
        for key, inside in items:
            where = f"{place}.{key}".removeprefix(".")
            rest.append((where, inside))
            if isinstance(key, str):
                yield f"A name in {place or 'the body'}", key


async def whole_text(request: Request) -> None:
    """Guards every route against strings in its body that cannot be stored or sent on.

    Raises:
        BadInput: there is one; the message says where.
    """
    kind = request.headers.get("content-type", "")
    if request.method in SAFE_METHODS:
        return
    if "json" in kind:
        # a string can have neither without an escape
        body = await request.json() if b"\\u" in await request.body() else None
    else:
        body = await request.form() if "form" in kind else None
    for place, text in _strings(body):
        if "\0" in text:
            raise BadInput(f"{place} has a NUL character, which no text here can have.")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            words = "half of a surrogate pair (\\ud800 to \\udfff), which is no character"
            raise BadInput(f"{place} has {words}.") from error


def local_owner(request: Request) -> None:
    """Guards a write until accounts exist: whoever reaches a loopback server owns it, nobody else does.

    Raises:
        Refused: the server is bound beyond loopback.
    """
    settings: Settings = request.app.state.settings
    if not settings.loopback:
        raise Refused(
            f"Writes are refused: this server is bound to {settings.host} and has no accounts yet. "
            "Bind it to 127.0.0.1 to change its data."
        )


LocalOwner = Annotated[None, Depends(local_owner)]
"""Parameter of every route that changes stored data."""


def install(app: FastAPI, settings: Settings) -> None:
    app.add_middleware(Guard, settings=settings)
