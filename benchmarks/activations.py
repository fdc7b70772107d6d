"""What the inference server adds to the bare computation, for one feature and for all features of three sources.

The floor, in this process: plain transformers (sdpa, float32) to the last needed layer, and the bare encodes in torch.
The server is started by this script in a process of its own and asked over loopback. Floor and server take turns on
fresh prompts of the same lengths, so that noise of the machine meets both. Three rounds, medians of the ratios' parts.
"""

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / ".data/models/smollm2-135m-it"
SOURCES = {7: "7-res-4k", 15: "15-res-4k", 23: "23-res-4k"}
ENV_FILE = ROOT / ".env.inference.smollm2-135m-it.res-4k"
REQUESTS = 20


class Floor:
    """The model cut after block 23 or 15, and the SAEs' weights; no library of ours."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        self.model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="sdpa").eval()
        self.blocks = list(self.model.model.layers)
        self.saes = {
            layer: {key: value.float() for key, value in load_file(folder(layer) / "sae_weights.safetensors").items()}
            for layer in SOURCES
        }

    def run(self, text: str, layers: list[int]) -> list[torch.Tensor]:
        return [values[0] for values in self.run_batch([text], layers)]

    def padded(self, texts: list[str], side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids after BOS and mask (B, T)."""
        rows = [
            [self.tokenizer.bos_token_id, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]
            for text in texts
        ]
        longest = max(map(len, rows))
        pads = [[0] * (longest - len(row)) for row in rows]
        pairs = list(zip(rows, pads, strict=True))
        ids = [pad + row if side == "left" else row + pad for row, pad in pairs]
        mask = [pad + [1] * len(row) if side == "left" else [1] * len(row) + pad for row, pad in pairs]
        return torch.tensor(ids), torch.tensor(mask)

    @torch.inference_mode()
    def run_batch(self, texts: list[str], layers: list[int]) -> list[torch.Tensor]:
        """Feature values (B, T, F) of each layer's source."""
        ids, mask = self.padded(texts)
        self.model.model.layers = torch.nn.ModuleList(self.blocks[: max(layers) + 1])
        found: dict[int, torch.Tensor] = {}

        def keep(layer: int) -> Callable[..., None]:
            def hook(_module: object, _inputs: object, output: torch.Tensor | tuple[torch.Tensor]) -> None:
                found[layer] = output if isinstance(output, torch.Tensor) else output[0]

            return hook

        handles = [self.blocks[layer].register_forward_hook(keep(layer)) for layer in layers]
        self.model.model(input_ids=ids, attention_mask=mask if len(texts) > 1 else None, use_cache=False)
        for handle in handles:
            handle.remove()
        return [self.encode(layer, found[layer]) for layer in layers]

    def encode(self, layer: int, hidden: torch.Tensor) -> torch.Tensor:
        sae = self.saes[layer]
        before = hidden @ sae["W_enc"] + sae["b_enc"]
        return torch.relu(before) * (before > sae["threshold"])


def folder(layer: int) -> Path:
    return ROOT / "demo/sources" / SOURCES[layer]


@contextmanager
def server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "memicos_inference", "--env-file", str(ENV_FILE)],
        cwd=ROOT,
        env=os.environ | {"INFERENCE_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{url}/health", timeout=5).json()["ready"]:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def prompts(tokenizer: AutoTokenizer, tokens: int, seed: int) -> Iterator[str]:
    """Texts of about `tokens` tokens, each another window of the shipped corpus."""
    contexts = pq.read_table(ROOT / "demo/dataset/corpus/contexts-00000.parquet", columns=["token_ids"])
    ids = [token for context in contexts.column(0).to_pylist() for token in context[1:]]
    draw = random.Random(seed)
    while True:
        start = draw.randrange(len(ids) - tokens)
        yield tokenizer.decode(ids[start : start + tokens])  # pyright: ignore[reportAttributeAccessIssue]


def milliseconds(work: Callable[..., object], *arguments: object) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return 1000 * (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 64, 127])
    arguments = parser.parse_args()
    floor = Floor()
    draw = np.random.default_rng(0)
    with server() as url, httpx.Client(base_url=url, timeout=60) as client:

        def single(text: str) -> None:
            body = {"model": "smollm2-135m-it", "prompt": text, "source": SOURCES[15]}
            client.post("/v1/activation/single", json=body | {"index": int(draw.integers(4096))}).raise_for_status()

        def strongest(text: str) -> None:
            body = {"model": "smollm2-135m-it", "prompt": text, "source_set": "res-4k", "num_results": 25}
            client.post("/v1/activation/all", json=body).raise_for_status()

        for tokens in arguments.tokens:
            texts = prompts(floor.tokenizer, tokens, seed=tokens)
            for name, bare, asked in (
                ("single", [15], single),
                ("all over three sources", [7, 15, 23], strongest),
            ):
                medians: list[tuple[float, float]] = []
                for _ in range(3):
                    pairs = []
                    for number in range(REQUESTS + 2):
                        pair = (milliseconds(floor.run, next(texts), bare), milliseconds(asked, next(texts)))
                        pairs += [pair] if number > 1 else []
                    medians.append((statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)))
                bottom, ours = (statistics.median(column) for column in zip(*medians, strict=True))
                print(f"{tokens} tokens, {name}: floor {bottom:.1f} ms, served {ours:.1f} ms, {ours / bottom:.2f}x")


if __name__ == "__main__":
    main()
