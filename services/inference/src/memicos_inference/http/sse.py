"""Server-sent events."""


class Events(bytes):
    """Encoded events. Unsent `Events` are appended to each other; any other unsent body is replaced by the next."""


def event(data: bytes, name: str | None = None) -> Events:
    """Encode one event. `data` is JSON without line breaks."""
    head = f"event: {name}\n".encode() if name else b""
    return Events(head + b"data: " + data + b"\n\n")
