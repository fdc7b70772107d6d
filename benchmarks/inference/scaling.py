"""Latency by tokens and by sources, and the cost of 200 registered sources of which 20 are in memory.

Prints the latency of baseline and server for prompts of 16 to 1,000 tokens with the line fitted to it, the latency of
`all` for 1 to 20 sources, and the time and memory of loading sources on demand. The 200 sources are links to the demo's
three. One client; new prompts in every request; medians of three rounds.
"""

import json
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from baseline import (
    KINDS,
    LAYERS,
    NAME,
    Baseline,
    alternate,
    parse_args,
    prompts,
    save_samples,
    seconds,
    server,
    source_folder,
)

TOKENS = (16, 32, 64, 128, 256, 512, 1000)
SOURCE_COUNTS = (1, 2, 5, 10, 20)
REGISTERED, IN_MEMORY = 200, 20


def by_tokens(baseline: Baseline, device: str) -> list[dict[str, Any]]:
    generator, samples = random.Random(0), []
    with server(device) as served, httpx.Client(base_url=served.url, timeout=300) as client:
        for kind, layers in LAYERS.items():
            medians = []
            for tokens in TOKENS:
                texts = prompts(baseline.tokenizer, tokens, seed=tokens)

                def server_sample(kind: str = kind, texts: Any = texts) -> float:
                    path, body = KINDS[kind](next(texts), generator)
                    return seconds(lambda: client.post(path, json=body).raise_for_status())

                def baseline_sample(layers: list[int] = layers, texts: Any = texts) -> float:
                    return seconds(baseline.encode_prompts, [next(texts)], layers)

                rounds = alternate(baseline_sample, server_sample, 5, warm_up=1)
                samples.append({"kind": kind, "tokens": tokens, "rounds": rounds.samples})
                medians.append(rounds.median())
            for name, column in zip(("baseline", "server"), zip(*medians, strict=True), strict=True):
                slope, intercept = np.polyfit(TOKENS, column, 1)
                values = ", ".join(f"{n}: {1000 * value:.0f}" for n, value in zip(TOKENS, column, strict=True))
                print(
                    f"{kind}, {name}: {1000 * slope:.2f} ms a token and {1000 * intercept:.0f} ms; in ms at {values}",
                    flush=True,
                )
    return samples


def by_sources(baseline: Baseline, device: str) -> dict[str, Any]:
    texts = prompts(baseline.tokenizer, 64, seed=0)
    samples: dict[str, Any] = {"selected": {}}
    with tempfile.TemporaryDirectory() as folder:
        ids = link_sources(Path(folder) / "many")
        env = {"SAE_SETS": json.dumps([f"path:{folder}/many"]), "MAX_LOADED_SAES": str(IN_MEMORY)}
        env["INFERENCE_SELFTEST_SECONDS"] = "0"  # off: it would compare each of the 200 with its record
        with server(device, env) as served, httpx.Client(base_url=served.url, timeout=300) as client:
            print(f"{REGISTERED} sources registered: ready after {served.start_seconds:.1f} s")

            def all_seconds(selected: list[str]) -> float:
                body = {"model": NAME, "prompt": next(texts), "source_set": "many", "selected_sources": selected}
                return seconds(lambda: client.post("/v1/activation/all", json=body).raise_for_status())

            def single_seconds(source: str) -> float:
                body = {"model": NAME, "prompt": next(texts), "source": source, "index": 7}
                return seconds(lambda: client.post("/v1/activation/single", json=body).raise_for_status())

            for n in SOURCE_COUNTS:
                # all of the deepest layer, so that the forward pass is the same; the first use loads them
                selected = [source for source in ids if source.startswith("23-")][:n]
                all_seconds(selected)
                samples["selected"][n] = [[all_seconds(selected) for _ in range(5)] for _ in range(3)]
            medians = [statistics.median(map(statistics.median, samples["selected"][n])) for n in SOURCE_COUNTS]
            slope, intercept = np.polyfit(SOURCE_COUNTS, medians, 1)
            values = ", ".join(f"{n}: {1000 * value:.0f}" for n, value in zip(SOURCE_COUNTS, medians, strict=True))
            print(
                f"all, in memory: {1000 * slope:.1f} ms a source and {1000 * intercept:.0f} ms; in ms at {values}",
                flush=True,
            )
            deepest = [source for source in ids if source.startswith("23-")]
            single_seconds(deepest[0])
            samples["kept"] = [single_seconds(deepest[0]) for _ in range(15)]
            for source in ids:
                single_seconds(source)
            resident = served.resident_bytes
            samples["loaded"] = [single_seconds(source) for source in deepest[:30]]
            for _ in range(2):
                for source in ids:
                    single_seconds(source)
            samples["resident"] = [resident, served.resident_bytes]
            loaded = sum(source["loaded"] for source in client.get("/v1/capabilities").json()["sources"])
            cached, uncached = (1000 * statistics.median(samples[name]) for name in ("kept", "loaded"))
            print(
                f"single of a source in memory {cached:.0f} ms, of one that is loaded first {uncached:.0f} ms; "
                f"{loaded} of {REGISTERED} in memory; server {resident / 2**20:.0f} MiB after each was used once, "
                f"{served.resident_bytes / 2**20:.0f} MiB after three times"
            )
    return samples


def link_sources(folder: Path) -> list[str]:
    """Make links to the demo's sources under REGISTERED names in `folder`. Returns their ids."""
    folder.mkdir()
    layers = list(LAYERS["all"])
    ids = [f"{layers[number % len(layers)]}-many__{number:03}" for number in range(REGISTERED)]
    for source in ids:
        (folder / source).symlink_to(source_folder(int(source.partition("-")[0])))
    return ids


def main() -> None:
    args = parse_args(__doc__, only={"choices": ["tokens", "sources"]})
    baseline, samples = Baseline(args.device), {}
    for name, measure in (("tokens", by_tokens), ("sources", by_sources)):
        if args.only in (None, name):
            samples[name] = measure(baseline, args.device)
    save_samples(args.raw, samples)


if __name__ == "__main__":
    main()
