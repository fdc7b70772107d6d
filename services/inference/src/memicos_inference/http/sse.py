"""Server-sent events."""


class Events(bytes):
    """Events as they are sent. Where a reader is slow they are joined, while other bodies replace one another."""


def event(data: bytes, name: str | None = None) -> Events:
    """One event. `data` is JSON, which has no line breaks."""
    head = f"event: {name}\n".encode() if name else b""
    return Events(head + b"data: " + data + b"\n\n")
