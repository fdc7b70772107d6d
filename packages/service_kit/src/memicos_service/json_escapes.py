"""Escapes of characters that some programs take for line breaks, in JSON."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ESCAPES = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\u0085\u2028\u2029"}
"""Unescaped in JSON; the other line breaks, U+000A to U+000D and U+001C to U+001E, are control characters, which JSON
escapes itself."""


def escape_line_breaks(json: bytes) -> bytes:
    """Equal JSON that has no line break in a string, however a client splits lines (Python's `splitlines` too)."""
    for character, escape in _ESCAPES.items():
        json = json.replace(character, escape)
    return json


class EscapedJson:
    """Escapes JSON bodies that are sent in one part; those of several parts, and streams, are escaped by their route,
    which has them whole."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start: Message | None = None

        async def send_escaped(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_json(message):
                start = message  # its length is known with the body
                return
            if start is not None:
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    message = _escape(start, message)
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, send_escaped)


def _is_json(start: Message) -> bool:
    return MutableHeaders(raw=start["headers"]).get("content-type", "").startswith("application/json")


def _escape(start: Message, message: Message) -> Message:
    """The escaped body; the length in `start` is set to its own."""
    body: bytes = message.get("body", b"")
    escaped = escape_line_breaks(body)
    headers = MutableHeaders(raw=start["headers"])
    if len(escaped) != len(body) and "content-length" in headers:
        headers["content-length"] = str(len(escaped))
    return {**message, "body": escaped}
