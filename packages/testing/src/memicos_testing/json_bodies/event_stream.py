"""A strict parser of server-sent events, and a client that does not read its stream."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit


def events(text: str) -> list[tuple[str, Any]]:
    """Name (default "message") and JSON of each event of a complete stream."""
    assert text.endswith("\n\n"), text[-200:]
    return [_event(block) for block in text.removesuffix("\n\n").split("\n\n")]


def _event(text: str) -> tuple[str, Any]:
    name = "message"
    if text.startswith("event: "):
        head, text = text.split("\n", 1)
        name = head.removeprefix("event: ")
    assert text.startswith("data: ") and "\n" not in text, text
    return name, json.loads(text.removeprefix("data: "))


def post_without_reading(url: str, body: dict[str, Any]) -> socket.socket:
    """A connection that has posted `body` to `url` and reads nothing; its receive buffer is small."""
    target = urlsplit(url)
    stopped = socket.socket()
    stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    stopped.connect((target.hostname, target.port))
    content = json.dumps(body).encode()
    head = f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n"
    stopped.sendall(
        f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
    )
    return stopped


def body_of(response: bytes) -> str:
    """Decode the body of a raw chunked HTTP response."""
    rest, decoded = response.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        decoded, rest = decoded + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return decoded.decode()
