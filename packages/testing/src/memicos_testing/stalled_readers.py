"""Visitors who begin a stream of steering at the webapp and never read, and an inference server for their streams."""

import asyncio
import collections
import json
import socket
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.responses import Response, StreamingResponse

from memicos_testing.fake_inference_server import FakeInferenceServer

AT_ONCE, SECONDS_FOR_SOME = 20, 4
TOKENS = 40
FEATURE = {"modelId": "small", "source": "1-res", "index": 5}


class PreparedInferenceServer(FakeInferenceServer):
    """Answers with events that are made once; every token has ten long alternatives."""

    _events: list[bytes]

    def _logprobs(self, kind: str, n: int) -> list[dict[str, Any]]:
        others = [{"token": f" alternative{i}" * 25, "logprob": -2.5} for i in range(10)]
        return [{"token": f" {kind.lower()}{i}", "logprob": -0.5, "top_logprobs": others} for i in range(n)]

    def prepare(self) -> None:
        def frame(n: int) -> dict[str, Any]:
            outputs = [
                {
                    "type": kind,
                    "output": "",
                    "completion": "".join(f" {kind.lower()}{i}" for i in range(n)),
                    "token_ids": list(range(n)),
                    "finished": "length" if n == TOKENS else None,
                    "logprobs": self._logprobs(kind, n),
                }
                for kind in ("STEERED", "DEFAULT")
            ]
            return {"outputs": outputs}

        deltas = [self._delta({"prompt": ""}, frame, n) for n in range(1, TOKENS + 1)]
        self._events = [f"event: delta\ndata: {json.dumps(delta)}\n\n".encode() for delta in deltas]
        self._events.append(f"data: {json.dumps(frame(TOKENS))}\n\n".encode())

    def _stream(self, body: dict[str, Any], frame: Any) -> Response:
        async def events() -> AsyncIterator[bytes]:
            for event in self._events:
                await asyncio.sleep(0.01)
                yield event

        return StreamingResponse(events(), media_type="text/event-stream")


def stalled_reader(url: str, address: str) -> socket.socket:
    """A connection from `address` that has begun a stream of some megabytes and reads nothing."""
    target = urlsplit(url)
    body = {
        "modelId": "small",
        "prompt": "a prompt",
        "features": [FEATURE | {"strength": 20}],
        "n_tokens": TOKENS,
        "temperature": 0,
        "freq_penalty": 0,
        "seed": 1,
        "stream": True,
        "n_logprobs": 10,
        "frame_logprobs": True,
    }
    content = json.dumps(body).encode()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    reader.bind((address, 0))
    reader.connect((target.hostname, target.port))
    head = f"POST /api/steer HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
    reader.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return reader


def statuses(readers: list[socket.socket]) -> dict[str, int]:
    """Number of readers by the status of their response."""
    counts: collections.Counter[str] = collections.Counter()
    for reader in readers:
        reader.settimeout(0.05)
        try:
            counts[reader.recv(12, socket.MSG_PEEK).decode()[9:] or "closed"] += 1
        except TimeoutError:
            counts["no response yet"] += 1
        except ConnectionError:
            counts["closed"] += 1
    return dict(counts)


def begin(url: str, addresses: list[str]) -> list[socket.socket]:
    """Stalled readers, begun some at a time; those that are refused or get no response at first begin again.

    Ends once none of those begun together is served.
    """
    readers: list[socket.socket] = []
    while chosen := addresses[len(readers) : len(readers) + AT_ONCE]:
        begun = [stalled_reader(url, address) for address in chosen]
        time.sleep(SECONDS_FOR_SOME)
        served = [reader for reader in begun if statuses([reader]).keys() & {"200", "no response yet"}]
        for reader in begun:
            if reader not in served:
                reader.close()
        readers += served
        if not served:
            break
    return readers


@dataclass
class Latencies:
    """Seconds of requests that were answered, and the number of the others by what happened to them."""

    seconds: list[float] = field(default_factory=list)
    failures: collections.Counter[str] = field(default_factory=collections.Counter)

    def __str__(self) -> str:
        text = f"{len(self.seconds)} answered"
        if self.seconds:
            median, longest = statistics.median(self.seconds), max(self.seconds)
            text += f", {1000 * median:.0f} ms, longest {1000 * longest:.0f} ms"
        return text + (f", failed: {dict(self.failures)}" if self.failures else "")


async def measure_requests(http: httpx.AsyncClient, requests: int, give_up_seconds: float) -> dict[str, Latencies]:
    """Latencies of requests that need inference, one after another; of each kind at most three fail."""
    body = {"feature": FEATURE, "customText": "the whale and the sea"}
    kinds = {"a text on a feature": ("POST", "/api/activation/new", body), "steer page": ("GET", "/small/steer", None)}
    results = {name: Latencies() for name in kinds}
    for name, (method, path, content) in kinds.items():
        latencies = results[name]
        while len(latencies.seconds) < requests and latencies.failures.total() < 3:
            start = time.perf_counter()
            try:
                async with asyncio.timeout(give_up_seconds):
                    response = await http.request(method, path, json=content)
                response.raise_for_status()
                latencies.seconds.append(time.perf_counter() - start)
            except TimeoutError:
                latencies.failures[f"no response within {give_up_seconds:g} s"] += 1
            except httpx.HTTPStatusError as error:
                latencies.failures[str(error.response.status_code)] += 1
    return results
