"""Shared by these benchmarks: the baseline computation, a server in its own process, and prompts.

The baseline is plain transformers (sdpa, float32) cut after the last needed layer, SAE encodes in plain torch, and
`transformers.generate`. It uses no code of memicos.
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
"""Layers of the sources that each kind of capture request reads."""
ENV_FILE = ROOT / f".env.inference.{NAME}.res-4k"
STEERED_TOKENS = 32
"""Tokens of a steered completion."""
NO_CACHES = {"INFERENCE_TEXT_CACHE_BYTES": "0", "INFERENCE_RESIDUAL_CACHE_BYTES": "0"}


def single_request(text: str, generator: random.Random) -> tuple[str, dict[str, Any]]:
    body = {"model": NAME, "prompt": text, "source": SOURCES[15], "index": generator.randrange(4096)}
    return "/v1/activation/single", body


def all_request(text: str, generator: random.Random) -> tuple[str, dict[str, Any]]:
    return "/v1/activation/all", {"model": NAME, "prompt": text, "source_set": "res-4k", "num_results": 25}


def steer_request(text: str, generator: random.Random) -> tuple[str, dict[str, Any]]:
    feature = {"model": NAME, "source": SOURCES[15], "index": generator.randrange(4096), "strength": 100}
    body = {"model": NAME, "prompt": text, "types": ["STEERED", "DEFAULT"], "features": [feature], "temperature": 0}
    return "/v1/steer/completion", body | {"n_completion_tokens": STEERED_TOKENS, "seed": generator.randrange(10**6)}


KINDS = {"single": single_request, "all": all_request, "steer": steer_request}
"""Builders of a request (path, body) from a prompt and a random generator, by kind."""


class Baseline:
    """The demo's model in plain transformers and its SAEs as plain tensors."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        model: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="sdpa")
        self.model = model.eval().to(device)
        self.blocks = list(self.model.model.layers)
        self.saes = {
            layer: {name: value.float().to(device) for name, value in load_file(weights_file(layer)).items()}
            for layer in SOURCES
        }

    def tokenize(self, texts: Sequence[str], side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids with BOS in front, and attention mask, both (B, T), padded on `side`."""
        bos: Any = self.tokenizer.bos_token_id
        rows = [[bos, *self.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
        longest = max(map(len, rows))
        pads = [[0] * (longest - len(row)) for row in rows]
        pairs = list(zip(rows, pads, strict=True))
        ids = [pad + row if side == "left" else row + pad for row, pad in pairs]
        mask = [pad + [1] * len(row) if side == "left" else [1] * len(row) + pad for row, pad in pairs]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    @torch.inference_mode()
    def encode_prompts(self, texts: Sequence[str], layers: Sequence[int]) -> list[torch.Tensor]:
        """Feature values (B, T, F) of the source of each layer, from one forward pass."""
        ids, mask = self.tokenize(texts)
        self.model.model.layers = torch.nn.ModuleList(self.blocks[: max(layers) + 1])
        captured: dict[int, torch.Tensor] = {}

        def store(layer: int) -> Callable[..., None]:
            def hook(_module: object, _inputs: object, output: torch.Tensor | tuple[torch.Tensor]) -> None:
                captured[layer] = output if isinstance(output, torch.Tensor) else output[0]

            return hook

        handles = [self.blocks[layer].register_forward_hook(store(layer)) for layer in layers]
        self.model.model(input_ids=ids, attention_mask=mask if len(texts) > 1 else None, use_cache=False)
        for handle in handles:
            handle.remove()
        values = [self.encode(layer, captured[layer]) for layer in layers]
        self.synchronize()
        return values

    def encode(self, layer: int, hidden: torch.Tensor) -> torch.Tensor:
        sae = self.saes[layer]
        pre_activations = hidden @ sae["W_enc"] + sae["b_enc"]
        return torch.relu(pre_activations) * (pre_activations > sae["threshold"])

    @torch.inference_mode()
    def generate(self, texts: Sequence[str], n_tokens: int = STEERED_TOKENS) -> tuple[int, int]:
        """Run `transformers.generate`, greedy. Returns the number of steps, and of the new tokens of all rows."""
        self.model.model.layers = torch.nn.ModuleList(self.blocks)
        ids, mask = self.tokenize(texts, side="left")
        output = self.model.generate(ids, attention_mask=mask, max_new_tokens=n_tokens, do_sample=False)
        self.synchronize()
        return output.shape[1] - ids.shape[1], output[:, ids.shape[1] :].numel()

    def synchronize(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def source_folder(layer: int) -> Path:
    return ROOT / "demo/sources" / SOURCES[layer]


def weights_file(layer: int) -> Path:
    return source_folder(layer) / "sae_weights.safetensors"


@dataclass
class Server:
    """A running server, and the seconds from its start until it was ready."""

    url: str
    process: psutil.Process
    start_seconds: float

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the process in bytes."""
        return self.process.memory_info().rss


START_SECONDS = 900
"""Longest start of the server, on a machine that other programs use: alone it takes 10 s."""


@contextmanager
def server(
    device: str = "cpu", env: dict[str, str] | None = None, root: Path = ROOT, python: Path = Path(sys.executable)
) -> Iterator[Server]:
    """Run the server of the checkout `root` on the demo's model and sources, without caches unless `env` sets them.

    Downloads and converts the model where `root` has none. Yields the server once it is ready; stops it at the end.
    """
    subprocess.run([python, "demo/model.py"], cwd=root, stdout=subprocess.DEVNULL, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.perf_counter()
    process = subprocess.Popen(
        [python, "-m", "memicos_inference", "--env-file", str(root / ENV_FILE.name)],
        cwd=root,
        env=os.environ | NO_CACHES | {"INFERENCE_PORT": str(port), "DEVICE": device} | (env or {}),
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _ready(url):
            if process.poll() is not None or time.perf_counter() - start > START_SECONDS:
                reason = f"was not ready within {START_SECONDS} s" if process.poll() is None else "ended"
                sys.exit(f"the server {reason}; run it alone to see its log (docs/inference.md)")
            time.sleep(0.2)
        yield Server(url, psutil.Process(process.pid), time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).json()["ready"]
    except httpx.TransportError:
        return False


def prompts(tokenizer: Any, tokens: int, seed: int) -> Iterator[str]:
    """Yield texts of about `tokens` tokens: random windows of the demo's corpus."""
    contexts = pq.read_table(ROOT / "demo/dataset/corpus/contexts-00000.parquet", columns=["token_ids"])
    ids = [token for context in contexts.column(0).to_pylist() for token in context[1:]]
    generator = random.Random(seed)
    while True:
        first = generator.randrange(len(ids) - tokens)
        yield tokenizer.decode(ids[first : first + tokens])


def seconds(function: Callable[..., object], *args: object) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


@dataclass
class Rounds:
    """Pairs of seconds (baseline, server), measured alternately, in three rounds."""

    samples: list[list[tuple[float, float]]] = field(default_factory=list)

    def median(self) -> tuple[float, float]:
        """Median over the rounds of the medians of each round: (baseline, server)."""
        medians = [[statistics.median(column) for column in zip(*pairs, strict=True)] for pairs in self.samples]
        baseline, server = (statistics.median(column) for column in zip(*medians, strict=True))
        return baseline, server


def alternate(baseline: Callable[[], float], server: Callable[[], float], number: int, warm_up: int = 2) -> Rounds:
    """Three rounds of `number` alternate samples of each, after `warm_up` that are discarded."""
    rounds = Rounds()
    for _ in range(3):
        pairs = [(baseline(), server()) for _ in range(number + warm_up)]
        rounds.samples.append(pairs[warm_up:])
    return rounds


def parse_args(description: str | None, **options: dict[str, Any]) -> Namespace:
    """Arguments of a benchmark: --device, --raw and `options`, by name with their argparse settings."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="of baseline and server: cpu, cuda")
    parser.add_argument("--raw", type=Path, help="write every sample here, as JSON")
    for name, settings in options.items():
        parser.add_argument(f"--{name}", **settings)
    return parser.parse_args()


def save_samples(raw: Path | None, samples: object) -> None:
    """Write the samples as JSON where --raw was given."""
    if raw:
        raw.write_text(json.dumps(samples))
