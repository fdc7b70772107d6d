"""Many clients at once: requests per second against plain torch in batches of 16, and streams during captures.

Prints for each kind of request the rates of baseline and server and their ratio, then for two streams that run during
captures the gaps between their frames and the latency of /health. The clients run in another process, over loopback;
measurements of baseline and server alternate; every request has a new prompt and feature.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from typing import Any

import httpx
from baseline import (
    KINDS,
    LAYERS,
    STEERED_TOKENS,
    Baseline,
    parse_args,
    prompts,
    save_samples,
    seconds,
    server,
    single_request,
    steer_request,
)

CAPTURE_CLIENTS, STEER_CLIENTS = 16, 8
PROMPT_TOKENS, REQUESTS = 64, 128
STREAM_SECONDS = 40
LARGE_PROMPTS = 4
"""Prompts of a request to /v1/activation/raw whose response has about 80 MiB."""


async def send_requests(url: str, kind: str, clients: int, texts: list[str], seed: int) -> dict[str, Any]:
    """Send one request for each text, `clients` at a time: seconds in all, latencies, and generated tokens."""
    generator, remaining, latencies, tokens = random.Random(seed), list(texts), [], 0

    async def client() -> None:
        nonlocal tokens
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            while remaining:
                path, body = KINDS[kind](remaining.pop(), generator)
                start = time.perf_counter()
                response = await http.post(path, json=body)
                response.raise_for_status()
                latencies.append(time.perf_counter() - start)
                if kind == "steer":
                    tokens += sum(len(output["token_ids"]) for output in response.json()["outputs"])

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return {"seconds": time.perf_counter() - start, "latencies": latencies, "tokens": tokens}


async def stream_during_captures(url: str, texts: list[str], seconds: float) -> dict[str, Any]:
    """Gaps between the frames of two streams, and latencies of /health, while 16 clients capture.

    In the last quarter of `seconds` one client requests responses of about 80 MiB as well; `large` has its figures.
    """
    generator, stop, gaps, healths, captures = random.Random(0), asyncio.Event(), [], [], 0
    large: dict[str, Any] = {"gaps": [], "healths": [], "bytes": 0, "responses": 0}
    large_started = asyncio.Event()

    async def capture() -> None:
        nonlocal captures
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            while not stop.is_set():
                path, body = single_request(generator.choice(texts), generator)
                (await http.post(path, json=body)).raise_for_status()
                captures += 1

    async def stream() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            while not stop.is_set():
                path, body = steer_request(generator.choice(texts), generator)
                body |= {"stream": True, "n_completion_tokens": 64}
                last = None
                async with http.stream("POST", path, json=body) as response:
                    async for line in response.aiter_lines():
                        if line.startswith("data: "):
                            now = time.perf_counter()
                            samples = large["gaps"] if large_started.is_set() else gaps
                            samples.extend([now - last] if last is not None else [])
                            last = now

    async def health() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            while not stop.is_set():
                start = time.perf_counter()
                await http.get("/health")
                (large["healths"] if large_started.is_set() else healths).append(time.perf_counter() - start)
                await asyncio.sleep(0.05)

    clients = (*(capture() for _ in range(CAPTURE_CLIENTS)), stream(), stream(), health())
    tasks = [asyncio.create_task(client) for client in clients]
    await asyncio.sleep(0.75 * seconds)
    captures_per_second = captures / (0.75 * seconds)
    large_started.set()
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        deadline = time.perf_counter() + 0.25 * seconds
        while time.perf_counter() < deadline:
            # read in chunks: parsing it whole would delay the other clients, which share this event loop
            body = {"prompts": texts[:LARGE_PROMPTS], "type": "all_tokens"}
            async with http.stream("POST", "/v1/activation/raw", json=body) as response:
                large["bytes"] = sum([len(chunk) async for chunk in response.aiter_bytes()])
            large["responses"] += 1
    stop.set()
    await asyncio.gather(*tasks)
    return {"gaps": gaps, "healths": healths, "captures": captures_per_second, "large": large}


def run_clients(*args: str, texts: list[str]) -> dict[str, Any]:
    """Result of `send_requests` or `stream_during_captures` in a process of its own."""
    command = [sys.executable, __file__, "--client", *args]
    process = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    return json.loads(process.stdout)


def captures_per_second(baseline: Baseline, texts: list[str], layers: list[int]) -> float:
    """Prompts per second of the baseline in batches of 16, padded on the right."""
    batches = [texts[first : first + 16] for first in range(0, len(texts), 16)]
    return len(texts) / sum(seconds(baseline.encode_prompts, batch, layers) for batch in batches)


def tokens_per_second(baseline: Baseline, texts: list[str]) -> float:
    """Tokens per second of `transformers.generate` in one batch."""
    start = time.perf_counter()
    _, n_tokens = baseline.generate(texts)
    return n_tokens / (time.perf_counter() - start)


def quantile(samples: list[float], share: float) -> float:
    return sorted(samples)[min(len(samples) - 1, int(share * len(samples)))]


def main() -> None:
    args = parse_args(__doc__, client={"nargs": "+", "help": argparse.SUPPRESS})
    if args.client:
        url, kind, clients, seed = args.client
        texts = json.load(sys.stdin)
        if kind == "streams":
            result = asyncio.run(stream_during_captures(url, texts, STREAM_SECONDS))
        else:
            result = asyncio.run(send_requests(url, kind, int(clients), texts, int(seed)))
        print(json.dumps(result))
        return
    baseline, samples = Baseline(args.device), []
    with server(args.device) as served:
        url = served.url
        for kind, layers in LAYERS.items():
            texts = prompts(baseline.tokenizer, PROMPT_TOKENS, seed=len(kind))
            rounds = []
            # the first use of a source loads it and compares it with its record
            run_clients(url, kind, "1", "0", texts=[next(texts) for _ in range(2)])
            for number in range(3):
                batch = [next(texts) for _ in range(REQUESTS)]
                baseline_rate = captures_per_second(baseline, batch, layers)
                result = run_clients(url, kind, str(CAPTURE_CLIENTS), str(number), texts=batch)
                rounds.append((baseline_rate, REQUESTS / result["seconds"]))
                samples.append({"kind": kind, "baseline": baseline_rate, **result})
            baseline_rate, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(
                f"{kind}, {CAPTURE_CLIENTS} clients: baseline {baseline_rate:.1f}/s, server {rate:.1f}/s, "
                f"{rate / baseline_rate:.2f}x",
                flush=True,
            )
        rounds = []
        for number in range(3):
            texts = prompts(baseline.tokenizer, 16, seed=number)
            batch = [next(texts) for _ in range(16)]
            baseline_rate = tokens_per_second(baseline, batch)
            concurrent = run_clients(url, "steer", str(STEER_CLIENTS), "1", texts=batch)
            sequential = run_clients(url, "steer", "1", "2", texts=batch[:2])
            rounds.append(
                (
                    baseline_rate,
                    concurrent["tokens"] / concurrent["seconds"],
                    sequential["tokens"] / sequential["seconds"],
                )
            )
            samples.append(
                {"kind": "steer", "baseline": baseline_rate, "concurrent": concurrent, "sequential": sequential}
            )
        baseline_rate, rate, sequential_rate = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"steering, {STEER_CLIENTS} clients, STEERED and DEFAULT, {STEERED_TOKENS} tokens: baseline "
            f"{baseline_rate:.1f} tokens/s, server {rate:.1f}, {rate / baseline_rate:.2f}x; one client "
            f"{sequential_rate:.1f}, {rate / sequential_rate:.2f}x",
            flush=True,
        )
        texts = prompts(baseline.tokenizer, PROMPT_TOKENS, seed=9)
        result = run_clients(url, "streams", "0", "0", texts=[next(texts) for _ in range(400)])
        samples.append({"kind": "streams", **result})
        large = result["large"]
        for title, latencies in (
            (f"{CAPTURE_CLIENTS} clients on single ({result['captures']:.1f}/s) beside 2 streams", result),
            (f"the same with {large['responses']} responses of {large['bytes'] / 2**20:.0f} MiB", large),
        ):
            print(
                f"{title}: gap p95 {quantile(latencies['gaps'], 0.95):.2f} s, max {max(latencies['gaps']):.2f} s; "
                f"/health p99 {1000 * quantile(latencies['healths'], 0.99):.0f} ms, "
                f"max {1000 * max(latencies['healths']):.0f} ms",
                flush=True,
            )
    save_samples(args.raw, samples)


if __name__ == "__main__":
    main()
