"""Every feature's statistics of `memicos generate` against a computation by dense arrays over all positions.

    .venv/bin/python benchmarks/data/generate_by_brute_force.py
    .venv/bin/python benchmarks/data/generate_by_brute_force.py --tokens 5000 --sources 15-res-4k

Generates dashboards of the demo's SAEs on the demo's texts, then computes counts, densities, maxima, histograms,
interval shares and strongest examples once more with numpy, for each feature from its row of a dense array of values.
The values are those of the engine, of the same batches, which allows an exact comparison, and those of plain
transformers and numpy, whose sums have another order. Prints how many features differ in each part. Needs the demo's
model, which `make demo` makes; 50,000 tokens take about ten minutes on 2 cores.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demo_run import BATCH, SOURCES, demo_run
from demo_texts import MODEL, ROOT
from memicos_dataset import read
from memicos_engine.capture.capture import capture
from memicos_engine.model.language_model import load_model
from memicos_engine.sources.source_loading import load_source
from memicos_pipeline.generate import generate
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

BINS, GROUPS, TOP = 50, 5, 12
BEFORE, AFTER = 12, 4
"""Examples with the same tokens around their positions are shown once."""
ROUNDING = 2**-15
"""Values of examples are stored with 15 bits."""
Encode = Callable[[np.ndarray], np.ndarray]


def layer(source: str) -> int:
    return int(source.partition("-")[0])


@torch.inference_mode()
def engine_states(folder: Path, ids: np.ndarray, sources: list[str]) -> dict[str, np.ndarray]:
    """Residual stream (N, T, D) of each source by the engine, in the batches of `memicos generate`."""
    model = load_model("m", str(folder))
    hooks = {source: f"blocks.{layer(source)}.hook_resid_post" for source in sources}
    parts: dict[str, list[np.ndarray]] = {source: [] for source in sources}
    for first in range(0, len(ids), BATCH):
        states = capture(model, torch.tensor(ids[first : first + BATCH]), None, list(hooks.values()))
        for source, hook in hooks.items():
            parts[source].append(states[hook].numpy())
    return {source: np.concatenate(own) for source, own in parts.items()}


@torch.inference_mode()
def plain_states(folder: Path, ids: np.ndarray, sources: list[str]) -> dict[str, np.ndarray]:
    """The same by plain transformers."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().model
    model.layers = model.layers[: max(map(layer, sources)) + 1]
    # so that the last state is the residual stream
    model.norm = torch.nn.Identity()
    parts: dict[str, list[np.ndarray]] = {source: [] for source in sources}
    for first in range(0, len(ids), BATCH):
        states = model(torch.tensor(ids[first : first + BATCH]), output_hidden_states=True).hidden_states
        for source in sources:
            parts[source].append(states[layer(source) + 1].numpy())
    return {source: np.concatenate(own) for source, own in parts.items()}


def engine_encoder(source: str) -> Encode:
    loaded = load_source(ROOT / "demo/sources" / source, source)

    @torch.inference_mode()
    def encode(states: np.ndarray) -> np.ndarray:
        return loaded.encode(torch.tensor(states)).numpy()

    return encode


def plain_encoder(source: str) -> Encode:
    weights = load_file(ROOT / "demo/sources" / source / "sae_weights.safetensors")
    encoder, bias, threshold = (weights[name].astype(np.float32) for name in ("W_enc", "b_enc", "threshold"))

    def encode(states: np.ndarray) -> np.ndarray:
        before = states @ encoder + bias
        return np.where(before > threshold, np.maximum(before, 0), 0)

    return encode


def dense_values(source: str, states: np.ndarray, encode: Encode) -> tuple[np.ndarray, int]:
    """Values (F, N * T) of all features, 0 where a position does not count, and the number of positions that count."""
    recipe = json.loads((ROOT / "demo/sources" / source / "memicos.json").read_text())
    count, size, width = states.shape
    norms = np.linalg.norm(states, axis=-1)
    counted = norms <= recipe["norm_cut"]
    counted[:, recipe["ignored_positions"]] = False
    values = None
    for first in range(0, count, BATCH):
        block = encode(states[first : first + BATCH].reshape(-1, width))
        if values is None:
            values = np.zeros((block.shape[1], count * size), np.float32)
        values[:, first * size : first * size + len(block)] = block.T
    assert values is not None
    values *= counted.reshape(-1)
    return values, int(counted.sum())


def strongest(values: np.ndarray, ids: np.ndarray) -> list[tuple[int, int]]:
    """Contexts and positions of the strongest values (N * T,), each context and each snippet once."""
    seen: set[Any] = set()
    chosen: list[tuple[int, int]] = []
    active = np.flatnonzero(values > 0)
    for place in active[np.argsort(-values[active], kind="stable")]:
        context, position = divmod(int(place), ids.shape[1])
        snippet = tuple(ids[context, max(0, position - BEFORE) : position + AFTER + 1].tolist())
        if context not in seen and snippet not in seen:
            seen |= {context, snippet}
            chosen.append((context, position))
            if len(chosen) == TOP:
                break
    return chosen


def statistics(values: np.ndarray, counted: int, ids: np.ndarray) -> dict[str, Any]:
    """A feature's row by its values (N * T,)."""
    active = values[values > 0]
    # in double precision, and divided last, so that no rounding moves a value over an edge
    top = float(active.max(initial=0))
    edges = top * np.arange(BINS + 1) / BINS
    bins = np.clip(np.searchsorted(edges, active, side="right") - 1, 0, BINS - 1)
    groups = [((active > top * i / GROUPS) & (active <= top * (i + 1) / GROUPS)).sum() for i in range(GROUPS)]
    some = len(active) > 0
    return {
        "active_tokens": len(active),
        "density": np.float32(len(active) / counted),
        "max_activation": np.float32(top),
        "activation_histogram": np.bincount(bins, minlength=BINS).tolist() if some else [],
        "quantile_shares": np.float32(np.array(groups) / len(active)).tolist() if some else [],
        "strongest examples": strongest(values, ids),
    }


def stored(row: dict[str, Any]) -> dict[str, Any]:
    examples = zip(row["example_groups"], row["example_contexts"], row["example_positions"], strict=True)
    names = ("active_tokens", "density", "max_activation", "activation_histogram", "quantile_shares")
    return {name: row[name] for name in names} | {"strongest examples": [(c, p) for g, c, p in examples if g == 0]}


def wrong_example_values(row: dict[str, Any], values: np.ndarray, size: int) -> bool:
    """Whether the values of an example are not those of its context in `values` (N * T,)."""
    for context, positions, numbers in zip(row["example_contexts"], row["value_positions"], row["values"], strict=True):
        own = values[context * size : (context + 1) * size]
        places = np.flatnonzero(own)
        if positions != places.tolist() or not np.allclose(numbers, own[places], rtol=ROUNDING, atol=0):
            return True
    return False


def rows(out: Path, source: str) -> Iterator[dict[str, Any]]:
    manifest = read.read_manifest(out)
    (entry,) = [entry for entry in manifest.source_set.sources if entry.id == source]
    for batch in read.features(out, entry):
        yield from batch.to_pylist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the demo's model")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--tokens", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        config = demo_run(Path(temporary), arguments.model, arguments.sources, arguments.tokens, arguments.threads)
        generate(config, lambda line: None)
        manifest = read.read_manifest(config.out)
        ids = np.concatenate([np.array(b["token_ids"].to_pylist()) for b in read.contexts(config.out, manifest)])
        print(f"{ids.size:,} tokens in {len(ids)} contexts", flush=True)
        ways = (("engine", engine_states, engine_encoder), ("transformers and numpy", plain_states, plain_encoder))
        for name, states_of, encoder in ways:
            states = states_of(arguments.model, ids, arguments.sources)
            for source in arguments.sources:
                values, counted = dense_values(source, states[source], encoder(source))
                differing: Counter[str] = Counter()
                other_counts = active = 0
                for row, own in zip(rows(config.out, source), values, strict=True):
                    expected = statistics(own, counted, ids)
                    differing.update(part for part, value in stored(row).items() if value != expected[part])
                    differing["example values"] += wrong_example_values(row, own, ids.shape[1])
                    other_counts += abs(row["active_tokens"] - expected["active_tokens"])
                    active += expected["active_tokens"]
                parts = ", ".join(f"{part} {count}" for part, count in sorted(differing.items()) if count) or "none"
                print(
                    f"{source}, values of {name}: {len(values)} features, {active:,} active; features that differ: "
                    f"{parts}; active tokens that differ: {other_counts}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
