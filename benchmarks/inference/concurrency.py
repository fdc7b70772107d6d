"""Many clients at once: requests a second against plain torch in batches of 16, and streams beside captures.

The clients are another process, over loopback. Floor and server take turns; fresh prompts and features every time.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from baseline import KINDS, LAYERS, WRITTEN, Floor, arguments, keep, prompts, seconds, server, single, steered

CLIENTS, WRITERS, WORDS, ASKED, LARGE = 16, 8, 64, 128, 4


async def asked(url: str, kind: str, clients: int, texts: list[str], seed: int) -> dict[str, Any]:
    """Each client asks one after another until there are no more texts."""
    draw, left, latencies, tokens = random.Random(seed), list(texts), [], 0

    async def client() -> None:
        nonlocal tokens
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            while left:
                path, body = KINDS[kind](left.pop(), draw)
                begun = time.perf_counter()
                answer = await http.post(path, json=body)
                answer.raise_for_status()
                latencies.append(time.perf_counter() - begun)
                if kind == "steer":
                    tokens += sum(len(one["token_ids"]) for one in answer.json()["outputs"])

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return {"seconds": time.perf_counter() - begun, "latencies": latencies, "tokens": tokens}


async def beside(url: str, texts: list[str], seconds: float) -> dict[str, Any]:
    """16 clients capture while two streams are read: gaps between a stream's frames, and how long /health takes.

    In the last quarter one of them asks for answers of a hundred megabytes as well.
    """
    draw, ended, gaps, healths, captures = random.Random(0), asyncio.Event(), [], [], 0
    large: dict[str, Any] = {"gaps": [], "healths": [], "bytes": 0, "answers": 0}
    large_begun = asyncio.Event()

    async def capture() -> None:
        nonlocal captures
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            while not ended.is_set():
                path, body = single(draw.choice(texts), draw)
                (await http.post(path, json=body)).raise_for_status()
                captures += 1

    async def stream() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            while not ended.is_set():
                path, body = steered(draw.choice(texts), draw)
                body |= {"stream": True, "n_completion_tokens": 64}
                last = None
                async with http.stream("POST", path, json=body) as answer:
                    async for line in answer.aiter_lines():
                        if line.startswith("data: "):
                            now = time.perf_counter()
                            into = large["gaps"] if large_begun.is_set() else gaps
                            into.extend([now - last] if last is not None else [])
                            last = now

    async def health() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            while not ended.is_set():
                begun = time.perf_counter()
                await http.get("/health")
                (large["healths"] if large_begun.is_set() else healths).append(time.perf_counter() - begun)
                await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(one) for one in (*(capture() for _ in range(CLIENTS)), stream(), stream(), health())]
    await asyncio.sleep(0.75 * seconds)
    captured = captures / (0.75 * seconds)
    large_begun.set()
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        until = time.perf_counter() + 0.25 * seconds
        while time.perf_counter() < until:
            # read as it comes, so that this process answers its own clock
            body = {"prompts": texts[:LARGE], "type": "all_tokens"}
            async with http.stream("POST", "/v1/activation/raw", json=body) as answer:
                large["bytes"] = sum([len(part) async for part in answer.aiter_bytes()])
            large["answers"] += 1
    ended.set()
    await asyncio.gather(*tasks)
    return {"gaps": gaps, "healths": healths, "captures": captured, "large": large}


def in_its_own_process(*arguments: str, texts: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--client", *arguments]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def captured(floor: Floor, texts: list[str], layers: list[int]) -> float:
    """Prompts a second in batches of 16, padded on the right."""
    batches = [texts[first : first + 16] for first in range(0, len(texts), 16)]
    return len(texts) / sum(seconds(floor.read, batch, layers) for batch in batches)


def generated(floor: Floor, texts: list[str]) -> float:
    """Tokens a second of `transformers.generate` in one batch."""
    begun = time.perf_counter()
    _, written = floor.write(texts)
    return written / (time.perf_counter() - begun)


def quantile(samples: list[float], share: float) -> float:
    return sorted(samples)[min(len(samples) - 1, int(share * len(samples)))]


def main() -> None:
    given = arguments(__doc__, client={"nargs": "+", "help": argparse.SUPPRESS})
    if given.client:
        url, kind, clients, seed = given.client
        texts = json.load(sys.stdin)
        work: Callable[..., Awaitable[dict[str, Any]]] = beside if kind == "beside" else asked
        values = (url, texts, float(clients)) if kind == "beside" else (url, kind, int(clients), texts, int(seed))
        print(json.dumps(asyncio.run(work(*values))))  # pyright: ignore[reportArgumentType]
        return
    floor, raw = Floor(given.device), []
    with server(given.device) as served:
        url = served.url
        for kind, layers in LAYERS.items():
            texts = prompts(floor.tokenizer, WORDS, seed=len(kind))
            rounds = []
            # sources are loaded, and compared with their records, when they are first used
            in_its_own_process(url, kind, "1", "0", texts=[next(texts) for _ in range(2)])
            for number in range(3):
                asked_for = [next(texts) for _ in range(ASKED)]
                bare = captured(floor, asked_for, layers)
                found = in_its_own_process(url, kind, str(CLIENTS), str(number), texts=asked_for)
                rounds.append((bare, ASKED / found["seconds"]))
                raw.append({"kind": kind, "floor": bare, **found})
            bottom, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(
                f"{kind}, {CLIENTS} clients: floor {bottom:.1f}/s, served {ours:.1f}/s, {ours / bottom:.2f}x",
                flush=True,
            )
        rounds = []
        for number in range(3):
            texts = prompts(floor.tokenizer, 16, seed=number)
            asked_for = [next(texts) for _ in range(16)]
            bare = generated(floor, asked_for)
            many = in_its_own_process(url, "steer", str(WRITERS), "1", texts=asked_for)
            one = in_its_own_process(url, "steer", "1", "2", texts=asked_for[:2])
            rounds.append((bare, many["tokens"] / many["seconds"], one["tokens"] / one["seconds"]))
            raw.append({"kind": "steer", "floor": bare, "many": many, "one": one})
        bottom, many, one = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"steering, {WRITERS} clients, STEERED and DEFAULT, {WRITTEN} tokens: floor {bottom:.1f} tokens/s, served "
            f"{many:.1f}, {many / bottom:.2f}x; one by one {one:.1f}, {many / one:.2f}x",
            flush=True,
        )
        texts = prompts(floor.tokenizer, WORDS, seed=9)
        found = in_its_own_process(url, "beside", "40", "0", texts=[next(texts) for _ in range(400)])
        raw.append({"kind": "beside", **found})
        large = found["large"]
        for what, part in (
            (f"{CLIENTS} clients on single ({found['captures']:.1f}/s) beside 2 streams", found),
            (f"the same with {large['answers']} answers of {large['bytes'] / 2**20:.0f} MiB", large),
        ):
            print(
                f"{what}: gap p95 {quantile(part['gaps'], 0.95):.2f} s, max {max(part['gaps']):.2f} s; /health p99 "
                f"{1000 * quantile(part['healths'], 0.99):.0f} ms, max {1000 * max(part['healths']):.0f} ms",
                flush=True,
            )
    keep(given.raw, raw)


if __name__ == "__main__":
    main()
