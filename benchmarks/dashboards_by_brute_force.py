"""Recompute the dashboards of random demo features over the whole corpus and compare them with the shipped dataset.

Prints the differences of each feature, and the largest of all. Uses plain transformers and numpy only: the token ids of
the contexts come from the dataset, everything else from the weights of the model and the SAEs. Takes about 15 minutes
on 2 cores, because all 8,192 contexts run through the model up to block 23.
"""

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {"7-res-4k": 7, "15-res-4k": 15, "23-res-4k": 23}
NORM_CUTS = {"7-res-4k": 434.9, "15-res-4k": 682.4, "23-res-4k": 1513.1}
BINS = 50


def weights(source: str) -> dict[str, np.ndarray]:
    tensors = load_file(ROOT / "demo/sources" / source / "sae_weights.safetensors")
    return {key: value.float().numpy() for key, value in tensors.items()}


@torch.inference_mode()
def activations(
    model: Any, ids: np.ndarray, indices: dict[str, list[int]]
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Values (N, T, features) of the features `indices` of each source, and the number of tokens that count.

    A token counts unless it is at position 0 or its norm exceeds the cut of the source.
    """
    saes = {source: weights(source) for source in indices}
    values = {source: np.zeros((*ids.shape, len(features)), np.float32) for source, features in indices.items()}
    counted = dict.fromkeys(indices, 0)
    model.model.layers = model.model.layers[: max(LAYERS[source] for source in indices) + 1]
    model.model.norm = torch.nn.Identity()  # so that the last hidden state is the unnormalised residual stream
    for first in range(0, len(ids), 8):
        states = model.model(torch.tensor(ids[first : first + 8]), output_hidden_states=True).hidden_states
        for source, features in indices.items():
            hidden = states[LAYERS[source] + 1].numpy()
            counts = np.linalg.norm(hidden, axis=-1) <= NORM_CUTS[source]
            counts[:, 0] = False
            counted[source] += int(counts.sum())
            sae = saes[source]
            pre_activations = hidden @ sae["W_enc"][:, features] + sae["b_enc"][features]
            active = (pre_activations > sae["threshold"][features]) & counts[..., None]
            values[source][first : first + 8] = np.where(active, np.maximum(pre_activations, 0), 0)
        if first % 800 == 0:
            print(f"{first} of {len(ids)} contexts", flush=True)
    return values, counted


def compare(
    row: dict[str, Any], values: np.ndarray, counted: int, effects: np.ndarray, cosines: np.ndarray
) -> dict[str, float]:
    """The largest relative or absolute difference of each part of a dashboard, by its name."""
    active = values[values > 0]
    top = float(active.max())
    example_values = np.zeros((len(row["example_contexts"]), values.shape[1]), np.float32)
    for example, (positions, numbers) in enumerate(zip(row["value_positions"], row["values"], strict=True)):
        example_values[example, positions] = numbers
    tops = [i for i, group in enumerate(row["example_groups"]) if group == 0]
    peaks = [values[row["example_contexts"][i], row["example_positions"][i]] for i in tops]
    strongest = np.sort(values.max(1))[::-1]
    histogram = np.histogram(active, bins=BINS, range=(0, top))[0]
    logits = np.histogram(effects, bins=BINS, range=(float(effects.min()), float(effects.max())))[0]
    ordered = np.sort(effects)
    return {
        "values of examples": relative(example_values, values[row["example_contexts"]]),
        "strongest example": relative(np.array(peaks[:1]), strongest[:1]),
        "order of examples": float(max(np.diff(peaks).max(initial=0), 0)),
        # examples omit repeated snippets and nothing else
        "stronger contexts left out": int(
            (strongest > peaks[-1] * 1.001).sum() - (np.array(peaks) > peaks[-1] * 1.001).sum()
        ),
        "active tokens": abs(row["active_tokens"] - len(active)) / len(active),
        "density": abs(row["density"] - len(active) / counted) / (len(active) / counted),
        "activation histogram": np.abs(np.cumsum(histogram) - np.cumsum(row["activation_histogram"])).max()
        / len(active),
        "logit histogram": np.abs(np.cumsum(logits) - np.cumsum(row["logit_histogram"])).max() / len(effects),
        "top logits": max(
            relative(ordered[::-1][:10], np.array(row["positive_logits"])),
            relative(ordered[:10], np.array(row["negative_logits"])),
        ),
        "neighbours": float(np.abs(np.sort(cosines)[::-1][:10] - np.array(row["neighbour_cosines"])).max()),
    }


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float((np.abs(a - b) / np.maximum(1, np.abs(b))).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", nargs="+", choices=list(LAYERS), default=list(LAYERS))
    args = parser.parse_args()
    generator = random.Random(args.seed)
    indices: dict[str, list[int]] = {source: [] for source in args.sources}
    for _ in range(args.features):
        indices[generator.choice(args.sources)].append(generator.randrange(4096))
    ids = np.array(pq.read_table(ROOT / "demo/dataset/corpus/contexts-00000.parquet")["token_ids"].to_pylist())
    model: Any = AutoModelForCausalLM.from_pretrained(ROOT / ".data/models/smollm2-135m-it", dtype=torch.float32).eval()
    readout = model.lm_head.weight.detach().numpy() * model.model.norm.weight.detach().numpy()
    values, counted = activations(model, ids, indices)
    worst: dict[str, float] = {}
    for source, features in indices.items():
        decoder = weights(source)["W_dec"]
        unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
        rows = pq.read_table(ROOT / "demo/dataset" / source / "features-00000.parquet").take(features).to_pylist()
        for column, (index, row) in enumerate(zip(features, rows, strict=True)):
            assert row["index"] == index
            cosines = unit @ unit[index]
            cosines[index] = -2
            differences = compare(row, values[source][..., column], counted[source], readout @ decoder[index], cosines)
            print(f"{source}/{index}: " + ", ".join(f"{name} {value:.2g}" for name, value in differences.items()))
            worst = {name: max(value, worst.get(name, 0)) for name, value in differences.items()}
    print("worst: " + ", ".join(f"{name} {value:.2g}" for name, value in worst.items()))


if __name__ == "__main__":
    main()
