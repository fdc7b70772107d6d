"""A local HTTP server that speaks OpenAI's chat completions, embeddings, files and batches, and fails on demand.

    with LlmProvider() as provider:
        provider.script(Reply(status=429), Reply(content="EXPLANATION: months"))   # one per request
        ...                                                                        # call provider.base_url
        assert provider.requests[0].headers["authorization"] == "Bearer k"

Embeddings are bags of hashed words, normalised: texts that share words are near each other. Batches are those of
`provider.batches` (`llm_provider.batches`); each of their requests is answered as one that was sent.
"""

import base64
import hashlib
import json
import math
import re
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from memicos_testing.llm_provider.batches import LlmBatches

SERVER_KEY = "sk-server-0123456789abcdef"
"""The API key of servers under test."""


@dataclass(frozen=True)
class Reply:
    """One response. `body` replaces the whole JSON (bytes are sent unchanged); `fields` are added to the choice."""

    content: str | None = "EXPLANATION: the sea"
    status: int = 200
    body: Any = None
    fields: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    cut: bool = False
    """Close the connection after half of the body."""
    drip: float = 0.0
    """Seconds between two bytes of the body."""


@dataclass(frozen=True)
class Received:
    """A request; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: Any


def embedding(text: str, dimensions: int) -> list[float]:
    """A unit vector that depends on the words of `text` only; all zeros for a text without words."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4]) % dimensions] += 1.0 if digest[4] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # a client may end the connection before it has read all: no traceback in the output of the program under test
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class LlmProvider:
    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self.default = Reply()
        self.batches = LlmBatches()
        self.answer: Callable[[Received], Reply] | None = None
        """Makes the reply to a request that none is scripted for, in place of `default`."""
        self.requests: list[Received] = []
        self.healthy = True
        """Whether `GET /health` is answered with 200, or 503."""
        self._script: deque[Reply] = deque()
        self._closed = threading.Event()
        self._server = _Server((host, port), self._handler())
        self._server.daemon_threads = True
        # a handler may be in a delay: do not wait for it
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self._server.server_address[1]}/v1"

    def script(self, *replies: Reply) -> None:
        """Set the responses to the next requests, one each; later requests get that of `answer`, or `default`."""
        self._script.extend(replies)

    def reset(self) -> None:
        self.default, self.answer, self.healthy = Reply(), None, True
        self.batches.reset()
        self.requests.clear()
        self._script.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                provider._answer(self)

            def do_GET(self) -> None:
                provider._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        sent_body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        if self.batches.is_path(handler.path):
            answer = self.batches.answer(handler.command, handler.path, headers, sent_body, self._line)
            if answer is None:
                handler.close_connection = True
            else:
                self._send(handler, Reply(status=answer.status), answer.body)
            return
        if handler.path == "/health":
            self._send(handler, Reply(status=200 if self.healthy else 503), b"")
            return
        body = json.loads(sent_body)
        received = Received(handler.path, headers, body)
        self.requests.append(received)
        reply = self._script.popleft() if self._script else self.answer(received) if self.answer else self.default
        if reply.delay:
            self._closed.wait(reply.delay)
        if reply.drop or self._closed.is_set():
            handler.close_connection = True
            return
        payload = self._payload(handler.path, body, reply)
        self._send(handler, reply, payload)

    def _line(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and body of the answer to a request of a batch."""
        received = Received(path, {}, body)
        reply = self.answer(received) if self.answer else self.default
        return reply.status, self._payload(path, body, reply)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, payload: Any) -> None:
        sent = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        try:
            handler.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(sent)))
            handler.end_headers()
            if reply.drip:
                for byte in sent:
                    handler.wfile.write(bytes([byte]))
                    if self._closed.wait(reply.drip):
                        break
                return
            handler.wfile.write(sent[: len(sent) // 2] if reply.cut else sent)
            handler.close_connection = handler.close_connection or reply.cut
        except (BrokenPipeError, ConnectionResetError):
            # the client disconnected, as in tests of time-outs
            handler.close_connection = True

    def _payload(self, path: str, body: Any, reply: Reply) -> Any:
        if reply.body is not None:
            return reply.body
        if reply.status != 200:
            return {"error": {"message": f"scripted failure {reply.status}", "type": "scripted", "code": None}}
        if path.endswith("/chat/completions"):
            return self._completion(body, reply)
        if path.endswith("/embeddings"):
            return self._embeddings(body)
        return {"error": {"message": f"no such path {path}"}}

    @staticmethod
    def _completion(body: Any, reply: Reply) -> dict[str, Any]:
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": reply.content, "refusal": None},
        }
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": f"{body['model']}-2026-01-01",
            "choices": [choice | reply.fields],
            "usage": {"prompt_tokens": 321, "completion_tokens": 12, "total_tokens": 333},
        }

    @staticmethod
    def _embeddings(body: Any) -> dict[str, Any]:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = []
        for index, text in enumerate(texts):
            vector: Any = embedding(text, body.get("dimensions") or 3072)
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return {"object": "list", "model": body["model"], "data": data, "usage": usage}
