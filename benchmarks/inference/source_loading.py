"""Gaps between the frames of two streams, with and without a source being loaded at the same time.

Prints the median, the 95th percentile and the maximum of the gaps in ms, as JSON. The server runs in another process on
the small test model; reading the weights of COLD takes SECONDS longer than it really does.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

NAME, COLD, STREAMS, TOKENS, SECONDS, ROUNDS = "glassllm-en", "2-small", 2, 100, 2.0, 5


def serve(port: int, folder: Path) -> None:
    """Run the server; loading COLD sleeps for SECONDS first."""
    import uvicorn
    from memicos_engine.sources import source_candidates
    from memicos_inference.app import create_app
    from memicos_inference.settings import Settings
    from memicos_testing.models.small_model import small_model, small_sae

    model = small_model(folder / NAME)
    for layer in (1, 2):
        small_sae(folder / "sources" / f"{layer}-small", layer, 96, seed=layer)
    original = source_candidates.with_load_errors

    def slow(candidate: Any, read: Any, selection: Any) -> Any:
        if candidate.id == COLD and read is candidate.load:
            time.sleep(SECONDS)
        return original(candidate, read, selection)

    source_candidates.with_load_errors = slow
    settings = Settings(
        model_id=NAME,
        custom_hf_model_id=str(model),
        sae_folder=folder / "sources",
        sae_sets=("small",),
        device="cpu",
        # one source at a time, so that COLD is loaded anew in each round
        max_loaded_saes=1,
        text_cache_bytes=0,
        residual_cache_bytes=0,
    )
    uvicorn.run(create_app(settings), port=port, log_level="warning")


async def stream_gaps(http: httpx.AsyncClient, seed: int, stop: asyncio.Event) -> list[float]:
    """Seconds between the frames of a stream; streams follow one another until `stop` is set."""
    gaps: list[float] = []
    while not stop.is_set():
        last = None
        body = {
            "model": NAME,
            "prompt": "Alice",
            "types": ["DEFAULT"],
            "features": [],
            "n_completion_tokens": TOKENS,
            # high, so that EOS is unlikely to end the text early
            "temperature": 50,
            "seed": seed,
            "stream": True,
            "stream_deltas": True,
        }
        async with http.stream("POST", "/v1/steer/completion", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    now = time.perf_counter()
                    gaps.extend([now - last] if last is not None else [])
                    last = now
        seed += STREAMS
    return gaps


async def single(http: httpx.AsyncClient, source: str, prompt: str) -> None:
    body = {"model": NAME, "prompt": prompt, "source": source, "index": 3}
    (await http.post("/v1/activation/single", json=body)).raise_for_status()


async def one_round(http: httpx.AsyncClient, seed: int, cold: bool) -> list[float]:
    await single(http, "1-small", f"Alice {seed}")  # evicts COLD
    stop = asyncio.Event()
    streams = [asyncio.create_task(stream_gaps(http, seed + number, stop)) for number in range(STREAMS)]
    await asyncio.sleep(0.2)
    await (single(http, COLD, f"Rabbit {seed}") if cold else asyncio.sleep(SECONDS))
    stop.set()
    return [gap for gaps in await asyncio.gather(*streams) for gap in gaps]


async def measure(url: str) -> dict[str, dict[str, float]]:
    gaps: dict[str, list[float]] = {"without a load": [], "with a load": []}
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        while True:
            try:
                if (await http.get("/health")).json()["ready"]:
                    break
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
        for number in range(ROUNDS):
            for name, cold in (("without a load", False), ("with a load", True)):
                gaps[name] += await one_round(http, 10 * number, cold)
    return {
        name: {
            "p50_ms": 1000 * statistics.median(values),
            "p95_ms": 1000 * statistics.quantiles(values, n=20)[-1],
            "max_ms": 1000 * max(values),
            "frames": len(values),
        }
        for name, values in gaps.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.folder)
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, __file__, "--serve", str(port), "--folder", folder]
        process = subprocess.Popen(command)
        try:
            print(json.dumps(asyncio.run(measure(f"http://127.0.0.1:{port}")), indent=1))
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
