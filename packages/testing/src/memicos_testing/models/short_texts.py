"""A corpus of texts of which most are shorter than a context, and its contexts by the documented rules alone."""

import json
from collections.abc import Sequence
from pathlib import Path

from memicos_pipeline.config import GenerateConfig
from transformers import AutoTokenizer

from memicos_testing.models.small_model import SAMPLE
from memicos_testing.models.tiny_generate import tiny_config

SIZE = 16
"""Tokens of a context, BOS included."""
BOS, EOS, PAD = 2, 3, 0
"""Special tokens of the small model."""
_WORDS = SAMPLE.split(" ")
_LENGTHS = [1, 5, 9, 14, 3, 40, 7, 2, 11, 6, 23, 4, 8, 13]
TEXTS = [" ".join(_WORDS[sum(_LENGTHS[:i]) : sum(_LENGTHS[: i + 1])]) for i in range(len(_LENGTHS))]


def encoded_texts(folder: Path) -> list[list[int]]:
    """Token ids of each text by the tokenizer in `folder`/model."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]


def short_texts_config(folder: Path, source: str, short_texts: str, counts: tuple[int, int]) -> GenerateConfig:
    """Texts in two collections in turn, with `counts` contexts of each; the dataset will be in `folder`/`short_texts`.

    The model is in `folder`/model, the SAE in `folder`/saes/`source`.
    """
    config = tiny_config(folder, [source], SIZE, 1)
    rows = [{"title": f"t{i}", "collection": ("book", "web")[i % 2], "text": text} for i, text in enumerate(TEXTS)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    book = config.corpus.collections[0]
    collections = [
        book.model_copy(update={"name": name, "contexts": count})
        for name, count in zip(("book", "web"), counts, strict=True)
    ]
    corpus = config.corpus.model_copy(update={"collections": collections, "short_texts": short_texts})
    return config.model_copy(update={"corpus": corpus, "out": folder / short_texts})


def expected_contexts(texts: Sequence[Sequence[int]], short_texts: str) -> list[tuple[int, list[int]]]:
    """(document, tokens after BOS) of every context, by collection, from the documented rules alone."""
    width = SIZE - 1
    contexts = []
    for collection in (0, 1):
        numbers = range(collection, len(texts), 2)
        if short_texts == "pad":
            for number in numbers:
                ids = list(texts[number])
                contexts += [(number, ids[i : i + width]) for i in range(0, len(ids), width)]
            continue
        stream = [(number, token) for number in numbers for token in [EOS, *texts[number]]][1:]
        for start in range(0, len(stream) - width + 1, width):
            contexts.append((stream[start][0], [token for _, token in stream[start : start + width]]))
    return contexts


def contexts_by_collection(expected: Sequence[tuple[int, list[int]]]) -> tuple[int, int]:
    """How many of the contexts are of each collection."""
    web = sum(number % 2 for number, _ in expected)
    return len(expected) - web, web
