"""A configuration of `memicos generate` on the demo's texts, model and SAEs, for benchmarks."""

from collections.abc import Sequence
from pathlib import Path

from demo_texts import ROOT, SIZE, write_texts
from memicos_pipeline.config import GenerateConfig

SOURCES = ("7-res-4k", "15-res-4k", "23-res-4k")
BATCH = 8
"""Contexts of a forward pass."""


def demo_run(folder: Path, model: Path, sources: Sequence[str], tokens: int, threads: int) -> GenerateConfig:
    """A run of one worker, whose texts are written into `folder` and whose dataset will be `folder`/out.

    `tokens` are rounded up to whole contexts; BOS of each is not one of them.
    """
    contexts = -(-tokens // (SIZE - 1))
    return GenerateConfig.model_validate(
        {
            "out": folder / "out",
            "work": folder / "work",
            "model": {"id": "m", "name": "m", "folder": str(model), "dtype": "float32", "license": "unknown"},
            "source_set": {"folder": ROOT / "demo" / "sources", "sources": list(sources)},
            "corpus": {
                "id": "demo",
                "description": "the demo's texts",
                "file": str(write_texts(folder / "texts.jsonl", contexts, model)),
                "short_texts": "pack",
                "context_size": SIZE,
                "tokens": contexts * (SIZE - 1),
            },
            "execution": {"threads": threads, "batch_contexts": BATCH},
        }
    )
