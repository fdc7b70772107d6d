"""How the cost of `memicos generate` grows with tokens, features and sources: processor time of its two parts.

    .venv/bin/python benchmarks/data/generate_scaling.py
    .venv/bin/python benchmarks/data/generate_scaling.py --model .data/models/smollm2-135m-it --contexts 32

Runs a small model (glassllm, 0.85 million parameters) with top-k sources of random weights on the demo's texts, with
one thread, and changes one number at a time. Prints the seconds of the pass over the text and of everything after it
for each run, and the slopes of straight lines through them.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from demo_texts import SIZE, write_texts
from memicos_engine.model.language_model import load_model
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.generate import generate
from memicos_pipeline.progress import Progress, Stage
from memicos_testing.models.small_model import small_model
from sae_lens import SAE

ACTIVE = 32
"""Active features of a token, whatever the width of the source."""
PASS, BEFORE = "activations", "reading text"


@dataclass(frozen=True)
class Run:
    """`sources` are at the blocks from 0 on, one each."""

    contexts: int
    features: int
    sources: int


class ProcessorTime(Progress):
    """Notes the processor time of each stage."""

    def __init__(self) -> None:
        super().__init__(lambda line: None)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Stage]:
        started = time.process_time()
        with super().stage(name, total, unit) as stage:
            yield stage
        self.seconds[name] = time.process_time() - started


def write_source(folder: Path, layer: int, d_in: int, features: int) -> str:
    """Write a top-k SAE of random directions; return its entry of `source_set.saes`."""
    rng = np.random.default_rng(layer)
    rows = rng.normal(size=(features, d_in))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sae = SAE.from_dict(
        {
            "architecture": "topk",
            "k": ACTIVE,
            "d_in": d_in,
            "d_sae": features,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": False,
            "metadata": {"hook_name": f"blocks.{layer}.hook_resid_post", "prepend_bos": True, "context_size": SIZE},
        }
    )
    weights = {"W_enc": rows.T, "W_dec": rows, "b_enc": np.zeros(features), "b_dec": np.zeros(d_in)}
    sae.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()})
    place = folder / f"{layer}-random"
    sae.save_model(place)
    return f"path:{place}"


def measure(run: Run, model: Path, d_in: int) -> tuple[float, float]:
    """Processor seconds of the pass, and of everything after it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = GenerateConfig.model_validate(
            {
                "out": folder / "out",
                "work": folder / "work",
                "model": {"id": "m", "name": "m", "folder": str(model), "dtype": "float32", "license": "unknown"},
                "source_set": {"saes": [write_source(folder, i, d_in, run.features) for i in range(run.sources)]},
                "corpus": {
                    "id": "demo",
                    "description": "the demo's texts",
                    "file": str(write_texts(folder / "texts.jsonl", run.contexts)),
                    "short_texts": "pack",
                    "context_size": SIZE,
                    "tokens": run.contexts * (SIZE - 1),
                },
                "execution": {"threads": 1},
            }
        )
        progress = ProcessorTime()
        generate(config, progress)
        statistics = sum(seconds for name, seconds in progress.seconds.items() if name not in (PASS, BEFORE))
        return progress.seconds[PASS], statistics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the model; by default glassllm")
    parser.add_argument("--contexts", type=int, default=64)
    parser.add_argument("--features", type=int, default=1024)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        model = arguments.model or small_model(Path(temporary) / "model")
        d_in = load_model("m", str(model)).d_model
        base = Run(arguments.contexts, arguments.features, 1)
        # the first run is slower than a second one
        measure(base, model, d_in)
        print(
            "| changed | contexts | features of a source | sources | pass, s | after it, s |\n|---|---|---|---|---|---|"
        )
        for name, unit in (("contexts", SIZE), ("features", 1), ("sources", 1)):
            points = []
            for factor in (1, 2, 4):
                run = replace(base, **{name: factor * getattr(base, name)})
                seconds = measure(run, model, d_in)
                points.append((factor * getattr(base, name) * unit, *seconds))
                cells = (name, run.contexts, run.features, run.sources, *(f"{number:.2f}" for number in seconds))
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
            amounts, passes, statistics = (np.array(column) for column in zip(*points, strict=True))
            slopes = [1e6 * np.polyfit(amounts, seconds, 1)[0] for seconds in (passes, statistics)]
            each = "token" if name == "contexts" else name.removesuffix("s")
            print(f"slope of {name}: {slopes[0]:.1f} us a {each} in the pass, {slopes[1]:.1f} us after it", flush=True)


if __name__ == "__main__":
    main()
