"""Texts that are refused for their length: what they cost other clients.

    python benchmarks/hardening/long_texts.py

Starts the demo's inference server and a webapp. Prints the longest time that the model's thread answered nobody while
inference refused a text of 3.9 MB; then, for `--seconds` each, the seconds of a visitor's streams of the webapp and the
gaps between their events, alone and while three visitors post texts of 1 MB in a loop, from a process of lowest
priority. `--body-bytes-per-second` sets the pace at which the webapp reads a visitor's bodies. It ends after about 3
times `--seconds` and the start of the servers, also on a machine where no stream ends meanwhile.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.append(str(Path(__file__).parent.parent / "inference"))

from baseline import NAME, ROOT, SOURCES, server  # pyright: ignore[reportMissingImports]  # of another folder
from memicos_testing.webapp.webapp_program import visitor, webapp

LARGE_CHARACTERS, VISITOR_CHARACTERS, VISITORS = 3_900_000, 990_000, 3
STREAM_TOKENS = 64
WORDS = "The quick brown fox jumps over the lazy dog. "


def text(characters: int) -> str:
    return (WORDS * (characters // len(WORDS) + 1))[:characters]


async def model_thread_held(url: str) -> tuple[float, float]:
    """Longest latency of a short text while a large one is refused, and the seconds until the refusal."""
    latencies: list[float] = []
    done = asyncio.Event()

    async def short_texts() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=300) as http:
            while not done.is_set():
                start = time.perf_counter()
                (await http.post("/v1/tokenize", json={"model": NAME, "text": "Hello"})).raise_for_status()
                latencies.append(time.perf_counter() - start)
                await asyncio.sleep(0.01)

    async with httpx.AsyncClient(base_url=url, timeout=300) as http:
        # the first one waits for what the start has left in the model's thread
        (await http.post("/v1/tokenize", json={"model": NAME, "text": "Hello"})).raise_for_status()
    task = asyncio.create_task(short_texts())
    await asyncio.sleep(0.5)
    body = {"model": NAME, "text": text(LARGE_CHARACTERS)}
    async with httpx.AsyncClient(base_url=url, timeout=300) as http:
        start = time.perf_counter()
        response = await http.post("/v1/tokenize", json=body)
        seconds = time.perf_counter() - start
    assert response.status_code == 400, response.text[:200]
    done.set()
    await task
    return max(latencies), seconds


@dataclass
class Streams:
    """Streams that began one after another: seconds of those that ended, and gaps between events of all."""

    seconds: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.gaps:
            return "no events"
        gaps = sorted(self.gaps)
        seconds = f"median {statistics.median(self.seconds):.1f} s" if self.seconds else "none ended"
        return (
            f"{len(self.seconds)} streams of {STREAM_TOKENS} tokens, {seconds}; {len(gaps)} gaps: "
            f"95% {gaps[int(0.95 * len(gaps))]:.3f} s, longest {gaps[-1]:.3f} s"
        )


async def stream(http: httpx.AsyncClient, seed: int, streams: Streams) -> None:
    """Run one stream, and add it to `streams`; one that is cancelled has its gaps only."""
    feature = {"modelId": NAME, "source": SOURCES[15], "index": 87, "strength": 60}
    body: dict[str, Any] = {"modelId": NAME, "prompt": f"Number {seed}: today", "features": [feature], "stream": True}
    body |= {"n_tokens": STREAM_TOKENS, "temperature": 0, "freq_penalty": 0, "seed": seed, "delta": True}
    start = time.perf_counter()
    last = None
    async with http.stream("POST", "/api/steer", json=body | {"n_logprobs": 0}) as response:
        if response.status_code != 200:
            sys.exit(f"the webapp refused a stream: {response.status_code} {(await response.aread())[:300]}")
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                now = time.perf_counter()
                if last is not None:
                    streams.gaps.append(now - last)
                last = now
    streams.seconds.append(time.perf_counter() - start)


async def run_streams(http: httpx.AsyncClient, seconds: float, seeds: Iterator[int]) -> Streams:
    """Run streams one after another for a time."""
    streams = Streams()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await stream(http, next(seeds), streams)
    return streams


def post_texts(url: str, results: "multiprocessing.SimpleQueue[dict[str, int]]") -> None:
    """Post texts of several visitors until SIGTERM, as a process of its own; puts the number of responses by status."""
    os.nice(19)
    counts: dict[str, int] = {}
    feature = {"modelId": NAME, "source": SOURCES[15], "index": 87}
    content = json.dumps({"feature": feature, "customText": text(VISITOR_CHARACTERS)}).encode()
    headers = {"Content-Type": "application/json"}

    async def post(number: int) -> None:
        async with visitor(url, number) as http:
            while True:
                try:
                    response = await http.post("/api/activation/new", content=content, headers=headers)
                    status = str(response.status_code)
                except httpx.TransportError as error:
                    status = type(error).__name__
                counts[status] = counts.get(status, 0) + 1

    async def post_all() -> None:
        tasks = [asyncio.create_task(post(1 + number)) for number in range(VISITORS)]
        end = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
        await end.wait()
        for task in tasks:
            task.cancel()

    asyncio.run(post_all())
    results.put(counts)


@contextlib.contextmanager
def visitors_of_long_texts(url: str) -> Iterator[None]:
    """Visitors that post texts meanwhile; prints the number of responses, and what they cost the webapp."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=post_texts, args=(url, results))
    before = webapp_seconds()
    process.start()
    yield
    process.terminate()
    counts = results.get()
    process.join()
    seconds = webapp_seconds() - before
    print(
        f"responses to the texts meanwhile, by status: {counts}; processor time of the webapp: {seconds:.1f} s, the "
        "streams included"
    )


def webapp_seconds() -> float:
    """Processor time of the webapp so far."""
    (process,) = (
        child for child in psutil.Process().children(recursive=True) if child.cmdline()[-1:] == ["memicos_webapp"]
    )
    times = process.cpu_times()
    return times.user + times.system


async def measure_streams(url: str, seconds: float) -> None:
    seeds = itertools.count()
    async with visitor(url, 0) as http:
        # loads the source
        await run_streams(http, seconds / 2, seeds)
        print("alone:                        ", await run_streams(http, seconds, seeds), flush=True)
        with visitors_of_long_texts(url):
            print("beside three visitors of 1 MB:", await run_streams(http, seconds, seeds), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="time of each measurement of streams")
    parser.add_argument("--body-bytes-per-second", default="", help="MEMICOS_BODY_BYTES_PER_SECOND of the webapp")
    args = parser.parse_args()
    settings = {"MEMICOS_EMBED_EVERY_SECONDS": "0", "MEMICOS_BODY_BYTES_PER_SECOND": args.body_bytes_per_second}
    # on a busy machine the first use of a source takes longer than requests wait by default
    with (
        # checks of the self-test that its time limit left out would be run during the measurement
        server(env={"INFERENCE_WAIT_SECONDS": "600", "INFERENCE_SELFTEST_IDLE_SECONDS": "0"}) as inference,
        webapp(ROOT / "demo/dataset", inference.url, settings) as url,
    ):
        held, seconds = asyncio.run(model_thread_held(inference.url))
        print(
            f"a text of {LARGE_CHARACTERS:,} characters: refused after {seconds:.2f} s; meanwhile a short text took "
            f"up to {held:.2f} s",
            flush=True,
        )
        asyncio.run(measure_streams(url, args.seconds))


if __name__ == "__main__":
    main()
