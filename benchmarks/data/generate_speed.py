"""The speed of `memicos generate` on the demo's model, against the bare forward pass in the same run.

    .venv/bin/python benchmarks/data/generate_speed.py
    .venv/bin/python benchmarks/data/generate_speed.py --sources 15-res-4k --tokens 32768

Prints tokens a second of the pass and of plain transformers up to the last block that a source reads, with the same
batches and threads, the share of the time that everything after the pass takes, the seconds of the whole run, and the
peak memory. Needs the demo's model, which `make demo` makes. A million tokens take half an hour on 2 cores.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demo_run import BATCH, SOURCES, demo_run
from demo_texts import MODEL
from memicos_dataset import read
from memicos_pipeline.generate import generate
from memicos_pipeline.progress import Progress, Stage
from transformers import AutoModelForCausalLM

PASS, BEFORE = "activations", "reading text"


class StageTimes(Progress):
    """Prints progress, and notes the seconds of each stage."""

    def __init__(self) -> None:
        super().__init__(lambda line: print(line, flush=True))
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Stage]:
        started = time.perf_counter()
        with super().stage(name, total, unit) as stage:
            yield stage
        self.seconds[name] = time.perf_counter() - started


@torch.inference_mode()
def bare_pass(folder: Path, ids: np.ndarray, blocks: int) -> float:
    """Tokens a second of plain transformers on contexts `ids` (N, T), through the first `blocks` blocks."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().model
    model.layers = model.layers[:blocks]
    model.norm = torch.nn.Identity()
    tokens = torch.tensor(ids)
    # the first pass is slower than later ones
    model(tokens[:BATCH], use_cache=False)
    started = time.perf_counter()
    for first in range(0, len(tokens), BATCH):
        model(tokens[first : first + BATCH], use_cache=False)
    return tokens.numel() / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the demo's model")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--bare-contexts", type=int, default=512, help="contexts of the bare forward pass")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = demo_run(folder, arguments.model, arguments.sources, arguments.tokens, arguments.threads)
        times = StageTimes()
        started = time.perf_counter()
        generate(config, times)
        total = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        manifest = read.read_manifest(config.out)
        ids = np.concatenate([np.array(b["token_ids"].to_pylist()) for b in read.contexts(config.out, manifest)])
    own = ids.size / times.seconds[PASS]
    blocks = 1 + max(int(source.partition("-")[0]) for source in arguments.sources)
    torch.set_num_threads(arguments.threads)
    bare = bare_pass(arguments.model, ids[: arguments.bare_contexts], blocks)
    after = sum(seconds for name, seconds in times.seconds.items() if name not in (PASS, BEFORE))
    print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.seconds.items()))
    print(
        f"{ids.size:,} tokens, {len(arguments.sources)} sources, {arguments.threads} threads\n"
        f"the pass: {own:.0f} tokens/s; bare forward pass through {blocks} blocks: {bare:.0f} tokens/s; "
        f"{own / bare:.2f}x\n"
        f"everything after the pass: {after:.1f} s of {total:.1f} s ({after / total:.0%})\n"
        f"peak memory: {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
