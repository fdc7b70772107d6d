"""Texts that are refused for their length: what they cost other clients.

    python benchmarks/hardening/long_texts.py

Starts the demo's inference server and a webapp. Prints the longest time that the model's thread answered nobody while
inference refused a text of 3.9 MB; then the seconds of a stream of the webapp, and the gaps between its events, alone
and while three visitors post texts of 1 MB.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.append(str(Path(__file__).parent.parent / "inference"))

from baseline import NAME, ROOT, SOURCES, server  # pyright: ignore[reportMissingImports]  # of another folder
from memicos_testing.webapp.webapp_program import visitor, webapp

LARGE_CHARACTERS, VISITOR_CHARACTERS, VISITORS = 3_900_000, 1_000_000, 3
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


async def stream(http: httpx.AsyncClient, seed: int) -> tuple[float, list[float]]:
    """Seconds of a stream, and the gaps between its events."""
    feature = {"modelId": NAME, "source": SOURCES[15], "index": 87, "strength": 60}
    body: dict[str, Any] = {"modelId": NAME, "prompt": f"Number {seed}: today", "features": [feature], "stream": True}
    body |= {"n_tokens": STREAM_TOKENS, "temperature": 0, "freq_penalty": 0, "seed": seed, "delta": True}
    start = time.perf_counter()
    times: list[float] = []
    async with http.stream("POST", "/api/steer", json=body | {"n_logprobs": 0}) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                times.append(time.perf_counter())
    return time.perf_counter() - start, [later - before for before, later in itertools.pairwise(times)]


async def post_texts(url: str, number: int, stop: asyncio.Event, statuses: list[int]) -> None:
    body = {
        "feature": {"modelId": NAME, "source": SOURCES[15], "index": 87},
        "customText": text(VISITOR_CHARACTERS),
    }
    async with visitor(url, number) as http:
        while not stop.is_set():
            statuses.append((await http.post("/api/activation/new", json=body)).status_code)


def summary(runs: list[tuple[float, list[float]]]) -> str:
    gaps = sorted(gap for _, of_run in runs for gap in of_run)
    seconds = statistics.median(seconds for seconds, _ in runs)
    return f"{seconds:6.1f} s; gaps: 95% {gaps[int(0.95 * len(gaps))]:.3f} s, longest {gaps[-1]:.3f} s"


async def measure_streams(url: str, rounds: int) -> None:
    seeds = itertools.count()
    async with visitor(url, 0) as http:
        await stream(http, next(seeds))
        print("a stream alone:              ", summary([await stream(http, next(seeds)) for _ in range(rounds)]))
        stop, statuses = asyncio.Event(), []
        tasks = [asyncio.create_task(post_texts(url, 1 + i, stop, statuses)) for i in range(VISITORS)]
        await asyncio.sleep(1)
        start = time.perf_counter()
        print("beside three visitors of 1 MB:", summary([await stream(http, next(seeds)) for _ in range(rounds)]))
        stop.set()
        await asyncio.gather(*tasks)
        counts = {status: statuses.count(status) for status in sorted(set(statuses))}
        print(f"texts refused meanwhile, by status: {counts}, in {time.perf_counter() - start:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    # on a busy machine the first use of a source takes longer than requests wait by default
    with (
        server(env={"INFERENCE_WAIT_SECONDS": "600"}) as inference,
        webapp(ROOT / "demo/dataset", inference.url) as url,
    ):
        held, seconds = asyncio.run(model_thread_held(inference.url))
        print(
            f"a text of {LARGE_CHARACTERS:,} characters: refused after {seconds:.2f} s; meanwhile a short text took "
            f"up to {held:.2f} s",
            flush=True,
        )
        asyncio.run(measure_streams(url, args.rounds))


if __name__ == "__main__":
    main()
