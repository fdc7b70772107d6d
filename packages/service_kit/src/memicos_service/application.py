"""The application class of the services: security headers and escaped line breaks in every response."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memicos_service.json_escapes import EscapedJson
from memicos_service.security.headers import JSON_POLICY, security_headers

RETRY_SECONDS = "5"
"""`Retry-After` of requests that a shutdown cancels."""


class SecurityHeaders:
    """Adds headers to every response that does not have them. A request that is cancelled is answered by 503."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # a shutdown cancels requests that outlast its time; uvicorn would answer 500, without these headers
            if not started:
                response = PlainTextResponse("The server is stopping.", 503, {"Retry-After": RETRY_SECONDS})
                await response(scope, receive, send_with_headers)
            raise


class ServiceApp(FastAPI):
    """FastAPI with security headers and escaped JSON on every response, that of an unhandled exception included.

    Starlette answers such an exception outside of all middleware that an application adds.
    """

    content_security_policy: ClassVar[str] = JSON_POLICY
    """Policy of responses that set none of their own."""

    def build_middleware_stack(self) -> ASGIApp:
        headers = security_headers(self.content_security_policy)
        return SecurityHeaders(EscapedJson(super().build_middleware_stack()), headers)
