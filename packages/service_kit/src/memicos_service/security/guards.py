"""Checks of a request before its body is read: the host name, the shared secret, the size of the body."""

import hmac
from collections.abc import Callable, Collection

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_service.errors import ErrorReport
from memicos_service.security.host_names import is_allowed

WRONG_SECRET = "Invalid or missing X-SECRET-KEY header"


def knows_secret(headers: Headers, secret: SecretStr | None) -> bool:
    """Whether a request sends the secret as X-SECRET-KEY; true where there is none."""
    return secret is None or _is_secret(headers, secret.get_secret_value().encode())


def _is_secret(headers: Headers, secret: bytes) -> bool:
    return hmac.compare_digest(headers.get("x-secret-key", "").encode("latin-1"), secret)


def limit_body(receive: Receive, max_bytes: int) -> Receive:
    """`receive` that raises HTTPException 413 once the body has passed `max_bytes`, for chunked bodies too."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise HTTPException(413, f"The body has more than {max_bytes} bytes.")
        return message

    return receive_limited


class ServiceGuard:
    """403 for a host name that is not allowed, 401 for a wrong or missing X-SECRET-KEY, 413 for a large body."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        hosts_setting: str,
        secret: SecretStr | None,
        open_paths: Collection[str],
        body_bytes: int,
        body_setting: str,
        make_response: Callable[[ErrorReport], Response],
    ) -> None:
        """
        Args:
            app: the application behind the guard.
            hosts: allowed host names, as of `host_names.allowed_names`.
            hosts_setting: environment variable that sets them, for the message.
            secret: required value of X-SECRET-KEY; None requires none.
            open_paths: paths that need no secret, such as /health.
            body_bytes: largest body.
            body_setting: environment variable that sets `body_bytes`, for the message.
            make_response: makes the response for a refused request.
        """
        self.app = app
        self._hosts = frozenset(hosts)
        self._hosts_setting = hosts_setting
        self._secret = secret.get_secret_value().encode() if secret else None
        self._open_paths = frozenset(open_paths)
        self._body_bytes = body_bytes
        self._body_setting = body_setting
        self._make_response = make_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if refusal := self._refusal(scope["path"], Headers(scope=scope)):
            return await self._make_response(refusal)(scope, receive, send)
        await self.app(scope, limit_body(receive, self._body_bytes), send)

    def _refusal(self, path: str, headers: Headers) -> ErrorReport | None:
        host = headers.get("host", "")
        if not is_allowed(host, self._hosts):
            message = f"The host name {host[:100]!r} is not allowed; add it to {self._hosts_setting}."
            return ErrorReport(403, message, "forbidden")
        if self._secret is not None and path not in self._open_paths and not _is_secret(headers, self._secret):
            return ErrorReport(401, WRONG_SECRET, "wrong_secret")
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdecimal() and int(length) > self._body_bytes:
            message = f"The body has {length} bytes; at most {self._body_bytes} are taken ({self._body_setting})."
            return ErrorReport(413, message, "too_large")
        return None
