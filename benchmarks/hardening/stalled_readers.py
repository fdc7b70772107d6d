"""Visitors who begin a stream of steering and never read: what they cost other visitors of the webapp.

    python benchmarks/hardening/stalled_readers.py

Starts a webapp with a small dataset, and an inference server that answers without a model, so that only the webapp is
measured. Prints the latency of a request that needs inference, and of a page, alone and beside 120 stalled readers: of
120 visitors, and of one visitor.
"""

import argparse
import asyncio
import collections
import json
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import in_thread
from memicos_testing.webapp.small_dataset import write_dataset
from starlette.responses import Response, StreamingResponse
from webapp_server import visitor, webapp

READERS, AT_ONCE, TOKENS = 120, 20, 40
REQUESTS = 20
GIVE_UP_SECONDS = 15
"""Longest wait for one response; it then counts as none."""
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


async def latencies(url: str) -> str:
    """Median and longest latency of requests of one visitor, and the number of those without a response."""
    body = {"feature": FEATURE, "customText": "the whale and the sea"}
    kinds = {
        "a text on a feature": ("POST", "/api/activation/new", body),
        "the steer page": ("GET", "/small/steer", None),
    }
    lines = []
    async with visitor(url, 999) as http:
        for name, (method, path, content) in kinds.items():
            samples: list[float] = []
            failures: collections.Counter[str] = collections.Counter()
            for _ in range(REQUESTS):
                start = time.perf_counter()
                try:
                    async with asyncio.timeout(GIVE_UP_SECONDS):
                        response = await http.request(method, path, json=content)
                    response.raise_for_status()
                    samples.append(time.perf_counter() - start)
                except TimeoutError:
                    failures[f"no response within {GIVE_UP_SECONDS} s"] += 1
                except httpx.HTTPStatusError as error:
                    failures[str(error.response.status_code)] += 1
                if failures.total() == 3:
                    break
            median = (
                f"{1000 * statistics.median(samples):.0f} ms, longest {1000 * max(samples):.0f} ms" if samples else "-"
            )
            lines.append(f"{name}: {median}" + (f", failed: {dict(failures)}" if failures else ""))
    return "; ".join(lines)


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


def begin(url: str, addresses: list[str], seconds: float) -> list[socket.socket]:
    """Stalled readers, begun some at a time; those that are refused or get no response at first begin again."""
    readers: list[socket.socket] = []
    end = time.monotonic() + seconds
    while len(readers) < len(addresses) and time.monotonic() < end:
        chosen = addresses[len(readers) : len(readers) + AT_ONCE]
        begun = [stalled_reader(url, address) for address in chosen]
        time.sleep(4)
        for reader in begun:
            if statuses([reader]).keys() & {"200", "no response yet"}:
                readers.append(reader)
            else:
                reader.close()
    time.sleep(3)
    return readers


def measure(url: str, addresses: list[str], seconds: float) -> None:
    readers = begin(url, addresses, seconds)
    name = f"{len(readers)} stalled readers of {len(set(addresses))} visitor(s), by status {statuses(readers)}"
    print(f"{name}: {asyncio.run(latencies(url))}", flush=True)
    for reader in readers:
        reader.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="longest time until all readers have begun")
    args = parser.parse_args()
    server = PreparedInferenceServer()
    server.prepare()
    with tempfile.TemporaryDirectory() as folder, in_thread(server.app()) as inference:
        write_dataset(Path(folder))
        addresses = [[f"127.2.0.{number + 1}" for number in range(READERS)], ["127.3.0.1"] * READERS]
        for of_readers in addresses:
            with webapp(Path(folder), inference) as url:
                print(f"alone: {asyncio.run(latencies(url))}", flush=True)
                measure(url, of_readers, args.seconds)


if __name__ == "__main__":
    main()
