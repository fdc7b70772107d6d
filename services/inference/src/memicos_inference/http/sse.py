"""Server-sent events."""

from memicos_service.json_escapes import escape_line_breaks


class Events(bytes):
    """Encoded events. Unsent `Events` are appended to each other; any other unsent body is replaced by the next."""


def event(data: bytes, name: str | None = None) -> Events:
    """Encode one event. `data` is JSON without line breaks."""
    head = f"event: {name}\n".encode() if name else b""
    return Events(head + b"data: " + escape_line_breaks(data) + b"\n\n")
