"""Many clients at once: requests a second against plain torch in batches of 16, and streams beside captures.

The floor, in this process: plain transformers (sdpa, float32) on batches of 16 prompts to the last needed layer with
bare encodes, and `transformers.generate` of batch 16. The server is started by this script in a process of its own; the
clients are another process, over loopback. Floor and server take turns; fresh prompts and features every time. Three
rounds, medians; raw samples with --raw.
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
from pathlib import Path
from typing import Any

import httpx
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from activations import SOURCES, Floor, prompts, server

CLIENTS, WRITERS, WORDS, WRITTEN = 16, 8, 64, 32
MODEL = "smollm2-135m-it"


def single(text: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    body = {"model": MODEL, "prompt": text, "source": SOURCES[15], "index": draw.randrange(4096)}
    return "/v1/activation/single", body


def strongest(text: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    return "/v1/activation/all", {"model": MODEL, "prompt": text, "source_set": "res-4k", "num_results": 25}


def steered(text: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    feature = {"model": MODEL, "source": SOURCES[15], "index": draw.randrange(4096), "strength": 100}
    body = {"model": MODEL, "prompt": text, "types": ["STEERED", "DEFAULT"], "features": [feature], "temperature": 0}
    return "/v1/steer/completion", body | {"n_completion_tokens": WRITTEN, "seed": draw.randrange(10**6)}


KINDS = {"single": single, "all": strongest, "steer": steered}


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
    """16 clients capture while two streams are read: gaps between a stream's frames, and how long /health takes."""
    draw, ended, gaps, healths, captures = random.Random(0), asyncio.Event(), [], [], 0

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
                            gaps.extend([now - last] if last is not None else [])
                            last = now

    async def health() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            while not ended.is_set():
                begun = time.perf_counter()
                await http.get("/health")
                healths.append(time.perf_counter() - begun)
                await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(one) for one in (*(capture() for _ in range(CLIENTS)), stream(), stream(), health())]
    await asyncio.sleep(seconds)
    ended.set()
    await asyncio.gather(*tasks)
    return {"gaps": gaps, "healths": healths, "captures": captures / seconds}


def in_its_own_process(*arguments: str, texts: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--client", *arguments]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@torch.inference_mode()
def captured(floor: Floor, texts: list[str], layers: list[int]) -> float:
    """Seconds for `texts` in batches of 16, padded on the right."""
    begun = time.perf_counter()
    for first in range(0, len(texts), 16):
        floor.run_batch(texts[first : first + 16], layers)
    return time.perf_counter() - begun


@torch.inference_mode()
def generated(floor: Floor, texts: list[str]) -> float:
    """Tokens a second of `transformers.generate` in batches of 16."""
    model: Any = floor.model
    written, begun = 0, time.perf_counter()
    model.model.layers = torch.nn.ModuleList(floor.blocks)
    for first in range(0, len(texts), 16):
        ids, mask = floor.padded(texts[first : first + 16], side="left")
        found = model.generate(ids, attention_mask=mask, max_new_tokens=WRITTEN, do_sample=False)
        written += found[:, ids.shape[1] :].numel()
    return written / (time.perf_counter() - begun)


def quantile(samples: list[float], share: float) -> float:
    return sorted(samples)[min(len(samples) - 1, int(share * len(samples)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--raw", type=Path, help="write every sample here, as JSON")
    arguments = parser.parse_args()
    if arguments.client:
        url, kind, clients, seed = arguments.client
        texts = json.load(sys.stdin)
        work: Callable[..., Awaitable[dict[str, Any]]] = beside if kind == "beside" else asked
        values = (url, texts, float(clients)) if kind == "beside" else (url, kind, int(clients), texts, int(seed))
        print(json.dumps(asyncio.run(work(*values))))  # pyright: ignore[reportArgumentType]
        return
    floor, raw = Floor(), []
    with server() as url:
        for kind, layers in (("single", [15]), ("all", [7, 15, 23])):
            texts = prompts(floor.tokenizer, WORDS, seed=len(kind))
            rounds = []
            for number in range(3):
                bare = 64 / captured(floor, [next(texts) for _ in range(64)], layers)
                given = [next(texts) for _ in range(64)]
                found = in_its_own_process(url, kind, str(CLIENTS), str(number), texts=given)
                rounds.append((bare, 64 / found["seconds"]))
                raw.append({"kind": kind, "floor": bare, **found})
            bottom, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(
                f"{kind}, {CLIENTS} clients: floor {bottom:.1f}/s, served {ours:.1f}/s, {ours / bottom:.2f}x",
                flush=True,
            )
        rounds = []
        for number in range(3):
            texts = prompts(floor.tokenizer, 16, seed=number)
            bare = generated(floor, [next(texts) for _ in range(16)])
            many = in_its_own_process(url, "steer", str(WRITERS), "1", texts=[next(texts) for _ in range(16)])
            one = in_its_own_process(url, "steer", "1", "2", texts=[next(texts) for _ in range(2)])
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
        print(
            f"{CLIENTS} clients on single ({found['captures']:.1f}/s) beside 2 streams: gap p95 "
            f"{quantile(found['gaps'], 0.95):.2f} s; /health p99 {1000 * quantile(found['healths'], 0.99):.0f} ms, "
            f"max {1000 * max(found['healths']):.0f} ms"
        )
    if arguments.raw:
        arguments.raw.write_text(json.dumps(raw))


if __name__ == "__main__":
    main()
