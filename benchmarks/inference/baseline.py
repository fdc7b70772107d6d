"""What these benchmarks share: the bare computation, the server in a process of its own, and fresh prompts.

The floor is plain transformers (sdpa, float32) cut after the last needed layer, bare encodes in torch, and
`transformers.generate`; no library of ours.
"""

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "smollm2-135m-it"
MODEL = ROOT / ".data/models" / NAME
SOURCES = {7: "7-res-4k", 15: "15-res-4k", 23: "23-res-4k"}
LAYERS = {"single": [15], "all": list(SOURCES)}
"""What each kind of request needs."""
ENV_FILE = ROOT / f".env.inference.{NAME}.res-4k"
WRITTEN = 32
"""Tokens of a steered text."""
NO_CACHES = {"INFERENCE_TEXT_CACHE_BYTES": "0", "INFERENCE_RESIDUAL_CACHE_BYTES": "0"}


def single(text: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    body = {"model": NAME, "prompt": text, "source": SOURCES[15], "index": draw.randrange(4096)}
    return "/v1/activation/single", body


def strongest(text: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    return "/v1/activation/all", {"model": NAME, "prompt": text, "source_set": "res-4k", "num_results": 25}


def steered(text: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    feature = {"model": NAME, "source": SOURCES[15], "index": draw.randrange(4096), "strength": 100}
    body = {"model": NAME, "prompt": text, "types": ["STEERED", "DEFAULT"], "features": [feature], "temperature": 0}
    return "/v1/steer/completion", body | {"n_completion_tokens": WRITTEN, "seed": draw.randrange(10**6)}


KINDS = {"single": single, "all": strongest, "steer": steered}


class Floor:
    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        model: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="sdpa")
        self.model = model.eval().to(device)
        self.blocks = list(self.model.model.layers)
        self.saes = {
            layer: {name: value.float().to(device) for name, value in load_file(weights(layer)).items()}
            for layer in SOURCES
        }

    def padded(self, texts: Sequence[str], side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids after BOS and mask (B, T)."""
        bos: Any = self.tokenizer.bos_token_id
        rows = [[bos, *self.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
        longest = max(map(len, rows))
        pads = [[0] * (longest - len(row)) for row in rows]
        pairs = list(zip(rows, pads, strict=True))
        ids = [pad + row if side == "left" else row + pad for row, pad in pairs]
        mask = [pad + [1] * len(row) if side == "left" else [1] * len(row) + pad for row, pad in pairs]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    @torch.inference_mode()
    def read(self, texts: Sequence[str], layers: Sequence[int]) -> list[torch.Tensor]:
        """Feature values (B, T, F) of each layer's source, in one batch."""
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
        values = [self.encode(layer, found[layer]) for layer in layers]
        self.finish()
        return values

    def encode(self, layer: int, hidden: torch.Tensor) -> torch.Tensor:
        sae = self.saes[layer]
        before = hidden @ sae["W_enc"] + sae["b_enc"]
        return torch.relu(before) * (before > sae["threshold"])

    @torch.inference_mode()
    def write(self, texts: Sequence[str], n_tokens: int = WRITTEN) -> tuple[int, int]:
        """`transformers.generate`, greedy: steps, and tokens of all rows."""
        self.model.model.layers = torch.nn.ModuleList(self.blocks)
        ids, mask = self.padded(texts, side="left")
        found = self.model.generate(ids, attention_mask=mask, max_new_tokens=n_tokens, do_sample=False)
        self.finish()
        return found.shape[1] - ids.shape[1], found[:, ids.shape[1] :].numel()

    def finish(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def folder(layer: int) -> Path:
    return ROOT / "demo/sources" / SOURCES[layer]


def weights(layer: int) -> Path:
    return folder(layer) / "sae_weights.safetensors"


@dataclass
class Server:
    url: str
    process: psutil.Process
    start_seconds: float

    @property
    def resident(self) -> int:
        """Bytes."""
        return self.process.memory_info().rss


@contextmanager
def server(
    device: str = "cpu", env: dict[str, str] | None = None, root: Path = ROOT, python: Path = Path(sys.executable)
) -> Iterator[Server]:
    """A ready server of the checkout `root`: the demo's model and sources, caches off unless `env` sets them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [python, "-m", "memicos_inference", "--env-file", str(root / ENV_FILE.name)],
        cwd=root,
        env=os.environ | NO_CACHES | {"INFERENCE_PORT": str(port), "DEVICE": device} | (env or {}),
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _ready(url):
            if process.poll() is not None or time.perf_counter() - begun > 300:
                sys.exit("the server did not come up; run it alone to see why: make demo, then docs/inference.md")
            time.sleep(0.2)
        yield Server(url, psutil.Process(process.pid), time.perf_counter() - begun)
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).json()["ready"]
    except httpx.TransportError:
        return False


def prompts(tokenizer: Any, tokens: int, seed: int) -> Iterator[str]:
    """Texts of about `tokens` tokens, each another window of the shipped corpus."""
    contexts = pq.read_table(ROOT / "demo/dataset/corpus/contexts-00000.parquet", columns=["token_ids"])
    ids = [token for context in contexts.column(0).to_pylist() for token in context[1:]]
    draw = random.Random(seed)
    while True:
        start = draw.randrange(len(ids) - tokens)
        yield tokenizer.decode(ids[start : start + tokens])


def seconds(work: Callable[..., object], *arguments: object) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begun


@dataclass
class Rounds:
    """Samples of the floor and of ours that were taken in turn, three rounds of them."""

    samples: list[list[tuple[float, float]]] = field(default_factory=list)

    def median(self) -> tuple[float, float]:
        """Of the medians of each round."""
        each = [[statistics.median(column) for column in zip(*one, strict=True)] for one in self.samples]
        floor, ours = (statistics.median(column) for column in zip(*each, strict=True))
        return floor, ours


def in_turn(floor: Callable[[], float], ours: Callable[[], float], number: int, warm: int = 2) -> Rounds:
    """`number` samples of each a round, the first `warm` of them thrown away."""
    rounds = Rounds()
    for _ in range(3):
        pairs = [(floor(), ours()) for _ in range(number + warm)]
        rounds.samples.append(pairs[warm:])
    return rounds


def arguments(description: str | None, **more: Any) -> Namespace:
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="of floor and server: cpu, cuda")
    parser.add_argument("--raw", type=Path, help="write every sample here, as JSON")
    for name, options in more.items():
        parser.add_argument(f"--{name}", **options)
    return parser.parse_args()


def keep(raw: Path | None, samples: object) -> None:
    if raw:
        raw.write_text(json.dumps(samples))
