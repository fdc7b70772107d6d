"""What a request passes before it is read: the secret, then the size of its body."""

import hmac

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_inference.http.errors import error_response
from memicos_inference.settings import Settings

OPEN_PATHS = {"/health", "/metrics"}


class Guard:
    """Wrong or missing X-SECRET-KEY: 401 (not for OPEN_PATHS). A body over the limit: 413 before it is read."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        secret = settings.secret
        self._secret = secret.get_secret_value().encode() if secret else None
        self._body_bytes = settings.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        if self._secret is not None and scope["path"] not in OPEN_PATHS:
            given = headers.get("x-secret-key", "").encode("latin-1")
            if not hmac.compare_digest(given, self._secret):
                answer = error_response(401, "wrong_secret", "Invalid or missing X-SECRET-KEY header")
                return await answer(scope, receive, send)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._body_bytes:
            words = f"The body has {length} bytes; at most {self._body_bytes} are taken (INFERENCE_BODY_BYTES)."
            return await error_response(413, "too_large", words)(scope, receive, send)
        await self.app(scope, self._limited(receive), send)

    def _limited(self, receive: Receive) -> Receive:
        """`receive` for bodies without Content-Length: refuses once they pass the limit."""
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._body_bytes:
                    raise HTTPException(413, f"The body has more than {self._body_bytes} bytes.")
            return message

        return limited
