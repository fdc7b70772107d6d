"""The texts of the demo's dataset, for benchmarks of `memicos generate`. Needs the demo's model, for its tokenizer."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from transformers import AutoTokenizer

ROOT = Path(__file__).parents[2]
MODEL = ROOT / ".data" / "models" / "smollm2-135m-it"
TEXTS = ROOT / "demo" / "dataset" / "corpus" / "contexts-00000.parquet"
SIZE = 128
"""Tokens of a context."""


def write_texts(path: Path, contexts: int, model: Path = MODEL) -> Path:
    """Write the texts of more than `contexts` of the demo's contexts, evenly spread over them, as JSON Lines."""
    ids = pq.read_table(TEXTS, columns=["token_ids"])["token_ids"].to_pylist()
    every = max(1, len(ids) * 4 // (5 * contexts))
    tokenizer = AutoTokenizer.from_pretrained(model)
    with path.open("w", encoding="utf-8") as file:
        for row in ids[::every]:
            file.write(json.dumps({"text": tokenizer.decode(row[1:])}) + "\n")
    return path
