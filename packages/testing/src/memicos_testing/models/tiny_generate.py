"""A configuration of `memicos generate` for a tiny corpus."""

import json
from collections.abc import Sequence
from pathlib import Path

from memicos_pipeline.config import GenerateConfig

from memicos_testing.models.small_model import SAMPLE


def tiny_config(folder: Path, sources: Sequence[str], size: int, count: int) -> GenerateConfig:
    """A configuration with `count` contexts of `size` tokens; writes the corpus.

    The model is in `folder`/model, sources are in `folder`/saes, the dataset will be in `folder`/out.
    """
    words = SAMPLE.split(" ")
    text = " ".join(" ".join(words[shift:] + words[:shift]) for shift in range(0, 60, 7))
    (folder / "corpus.jsonl").write_text(json.dumps({"title": "t", "collection": "book", "text": text}) + "\n")
    model = {"id": "glass", "name": "Glass", "folder": str(folder / "model"), "dtype": "float32", "license": "MIT"}
    book = {"name": "book", "contexts": count, "license": "CC0-1.0", "url": "https://example.org", "attribution": "a"}
    return GenerateConfig.model_validate(
        {
            "out": folder / "out",
            "work": folder / "work",
            "release": {"id": "r", "name": "R", "description": "d", "creator": "c"},
            "model": model | {"chat": False},
            "source_set": {
                "id": "res",
                "name": "Res",
                "description": "d",
                "folder": folder / "saes",
                "sources": list(sources),
            },
            "corpus": {
                "id": "tiny",
                "description": "d",
                "file": str(folder / "corpus.jsonl"),
                "context_size": size,
                "collections": [book],
            },
        }
    )
