"""How latency grows with tokens and with sources, and what 200 registered sources with 20 in memory cost.

The 200 are copies of the demo's three under other names. Nobody else asks; fresh prompts; medians of three rounds.
"""

import json
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from baseline import KINDS, LAYERS, NAME, Floor, arguments, folder, in_turn, keep, prompts, seconds, server

TOKENS = (16, 32, 64, 128, 256, 512, 1000)
SELECTED = (1, 2, 5, 10, 20)
REGISTERED, IN_MEMORY = 200, 20


def by_tokens(floor: Floor, device: str) -> list[dict[str, Any]]:
    draw, raw = random.Random(0), []
    with server(device) as served, httpx.Client(base_url=served.url, timeout=300) as client:
        for kind, layers in LAYERS.items():
            medians = []
            for tokens in TOKENS:
                texts = prompts(floor.tokenizer, tokens, seed=tokens)

                def asked(kind: str = kind, texts: Any = texts) -> float:
                    path, body = KINDS[kind](next(texts), draw)
                    return seconds(lambda: client.post(path, json=body).raise_for_status())

                def bare(layers: list[int] = layers, texts: Any = texts) -> float:
                    return seconds(floor.read, [next(texts)], layers)

                rounds = in_turn(bare, asked, 5, warm=1)
                raw.append({"kind": kind, "tokens": tokens, "rounds": rounds.samples})
                medians.append(rounds.median())
            for who, column in zip(("floor", "served"), zip(*medians, strict=True), strict=True):
                slope, start = np.polyfit(TOKENS, column, 1)
                each = ", ".join(f"{tokens}: {1000 * one:.0f}" for tokens, one in zip(TOKENS, column, strict=True))
                print(
                    f"{kind}, {who}: {1000 * slope:.2f} ms a token and {1000 * start:.0f} ms; in ms at {each}",
                    flush=True,
                )
    return raw


def by_sources(floor: Floor, device: str) -> dict[str, Any]:
    texts = prompts(floor.tokenizer, 64, seed=0)
    raw: dict[str, Any] = {"selected": {}}
    with tempfile.TemporaryDirectory() as place:
        ids = register(Path(place) / "many")
        env = {"SAE_SETS": json.dumps([f"path:{place}/many"]), "MAX_LOADED_SAES": str(IN_MEMORY)}
        env["INFERENCE_SELFTEST_SECONDS"] = "0"  # each of the 200 would be compared with its record first
        with server(device, env) as served, httpx.Client(base_url=served.url, timeout=300) as client:
            print(f"{REGISTERED} sources registered: ready after {served.start_seconds:.1f} s")

            def strongest(selected: list[str]) -> float:
                body = {"model": NAME, "prompt": next(texts), "source_set": "many", "selected_sources": selected}
                return seconds(lambda: client.post("/v1/activation/all", json=body).raise_for_status())

            def single(source: str) -> float:
                body = {"model": NAME, "prompt": next(texts), "source": source, "index": 7}
                return seconds(lambda: client.post("/v1/activation/single", json=body).raise_for_status())

            for n in SELECTED:
                # of the deepest layer, so that the model's part is the same; the first use loads them
                selected = [one for one in ids if one.startswith("23-")][:n]
                strongest(selected)
                raw["selected"][n] = [[strongest(selected) for _ in range(5)] for _ in range(3)]
            medians = [statistics.median(map(statistics.median, raw["selected"][n])) for n in SELECTED]
            slope, start = np.polyfit(SELECTED, medians, 1)
            each = ", ".join(f"{n}: {1000 * one:.0f}" for n, one in zip(SELECTED, medians, strict=True))
            print(
                f"all, in memory: {1000 * slope:.1f} ms a source and {1000 * start:.0f} ms; in ms at {each}", flush=True
            )
            deepest = [one for one in ids if one.startswith("23-")]
            single(deepest[0])
            raw["kept"] = [single(deepest[0]) for _ in range(15)]
            for source in ids:
                single(source)
            full = served.resident
            raw["loaded"] = [single(source) for source in deepest[:30]]
            for _ in range(2):
                for source in ids:
                    single(source)
            raw["resident"] = [full, served.resident]
            loaded = sum(one["loaded"] for one in client.get("/v1/capabilities").json()["sources"])
            kept, fetched = (1000 * statistics.median(raw[one]) for one in ("kept", "loaded"))
            print(
                f"single of a source in memory {kept:.0f} ms, of one that is loaded first {fetched:.0f} ms; {loaded} "
                f"of {REGISTERED} in memory; server {full / 2**20:.0f} MiB after each was used once, "
                f"{served.resident / 2**20:.0f} MiB after three times"
            )
    return raw


def register(many: Path) -> list[str]:
    """Links to the demo's sources under other names; their ids, by layer."""
    many.mkdir()
    layers = list(LAYERS["all"])
    ids = [f"{layers[number % len(layers)]}-many__{number:03}" for number in range(REGISTERED)]
    for one in ids:
        (many / one).symlink_to(folder(int(one.partition("-")[0])))
    return ids


def main() -> None:
    given = arguments(__doc__, only={"choices": ["tokens", "sources"]})
    floor, raw = Floor(given.device), {}
    for what, measure in (("tokens", by_tokens), ("sources", by_sources)):
        if given.only in (None, what):
            raw[what] = measure(floor, given.device)
    keep(given.raw, raw)


if __name__ == "__main__":
    main()
