"""A dataset's Parquet batches as records for COPY, in the column order of the tables."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from memicos_dataset import read
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest, Source

Record = tuple[Any, ...]

DOCUMENT = ("corpus_id", "number", "title", "collection")
CONTEXT = ("corpus_id", "number", "document", "token_ids", "tokens")
EXPLANATION = ("source_id", "index", "description", "method", "model")
FEATURE = (
    "load_id",
    "index",
    "density",
    "active_tokens",
    "max_activation",
    "activation_histogram",
    "logit_histogram",
    "logit_min",
    "logit_max",
    "positive_tokens",
    "positive_logits",
    "negative_tokens",
    "negative_logits",
    "neighbour_indices",
    "neighbour_cosines",
    "correlated_indices",
    "correlated_pearson",
    "quantile_shares",
    "example_groups",
    "example_contexts",
    "example_positions",
    "example_lengths",
    "value_positions",
    "values",
)


def storable(text: str) -> str:
    """PostgreSQL's text has no NUL, which byte-level tokens may be: its sign takes its place."""
    return text.replace("\0", "␀")


def vocabulary(folder: Path, manifest: Manifest) -> dict[int, str]:
    """Token id -> text."""
    tokens: dict[int, str] = {}
    for batch in read.vocabulary(folder, manifest):
        ids, texts = (batch.column(name).to_pylist() for name in ("token_id", "token"))
        tokens.update(zip(ids, map(storable, texts), strict=True))
    return tokens


def documents(folder: Path, manifest: Manifest, corpus_id: int) -> Iterator[Record]:
    for batch in read.documents(folder, manifest):
        for row in batch.to_pylist():
            yield corpus_id, row["document"], storable(row["title"]), row["collection"]


def contexts(folder: Path, manifest: Manifest, corpus_id: int, tokens: dict[int, str]) -> Iterator[Record]:
    for batch in read.contexts(folder, manifest):
        columns = (_values(batch.column(name)) for name in batch.schema.names)
        for number, document, token_ids in zip(*columns, strict=True):
            texts = _texts(folder, manifest, tokens, token_ids, f"context {number}")
            yield corpus_id, number, document, token_ids, texts


def explanations(folder: Path, source: Source, source_id: int) -> Iterator[Record]:
    for batch in read.explanations(folder, source):
        for row in batch.to_pylist():
            yield source_id, row["index"], storable(row["description"]), row["method"], row["model"]


def features(
    folder: Path, manifest: Manifest, source: Source, load_id: int, tokens: dict[int, str]
) -> Iterator[Record]:
    """Records of a source's features.

    Raises:
        DatasetError: an example points outside the corpus, or value and position lists differ in length.
    """
    for batch in read.features(folder, source):
        column = {name: batch.column(name) for name in batch.schema.names}
        _check_examples(folder, manifest, source, column)
        lengths, positions = _ragged(column["value_positions"])
        computed: dict[str, list[Any]] = {
            "load_id": [load_id] * len(batch),
            "example_lengths": lengths,
            "value_positions": positions,
            "values": _ragged(column["values"])[1],
        }
        for sign in ("positive", "negative"):
            computed[f"{sign}_tokens"] = [
                _texts(folder, manifest, tokens, ids, source.id) for ids in _values(column[f"{sign}_token_ids"])
            ]
        yield from zip(
            *(computed[name] if name in computed else _values(column[name]) for name in FEATURE),
            strict=True,
        )


def _texts(folder: Path, manifest: Manifest, tokens: dict[int, str], ids: list[int], where: str) -> list[str]:
    try:
        return [tokens[i] for i in ids]
    except KeyError as error:
        path = folder / manifest.corpus.vocabulary.path
        raise DatasetError(path, f"lacks token id {error.args[0]}, which {where} has") from None


def _values(column: pa.Array) -> list[Any]:
    """A column of numbers or of lists of numbers as Python values; many times as fast as `to_pylist`."""
    if not pa.types.is_list(column.type):
        return column.to_numpy(zero_copy_only=False).tolist()
    flat = column.values.to_numpy(zero_copy_only=False).tolist()
    return [flat[start:end] for start, end in pairwise(column.offsets.to_numpy().tolist())]


def _ragged(column: pa.Array) -> tuple[list[list[int]], list[list[float]]]:
    """Per row of a list-of-lists column: the lengths of its inner lists, and their values joined."""
    outer = column.offsets.to_numpy().tolist()
    inner = column.values.offsets.to_numpy()
    flat = column.values.values.to_numpy(zero_copy_only=False).tolist()
    lengths, starts = np.diff(inner).tolist(), inner.tolist()
    return (
        [lengths[start:end] for start, end in pairwise(outer)],
        [flat[starts[start] : starts[end]] for start, end in pairwise(outer)],
    )


def _check_examples(folder: Path, manifest: Manifest, source: Source, column: dict[str, pa.Array]) -> None:
    path = folder / source.features[0].path
    numbers = column["example_contexts"].flatten().to_numpy()
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= manifest.corpus.contexts):
        raise DatasetError(path, f"has an example outside the corpus's {manifest.corpus.contexts} contexts")
    outer = column["example_contexts"].offsets
    pairs = (("example_groups", "example_positions"), ("value_positions", "values"))
    if any(not column[name].offsets.equals(outer) for pair in pairs for name in pair):
        raise DatasetError(path, "has features whose example columns differ in length")
    positions, values = column["value_positions"].values, column["values"].values
    if not positions.offsets.equals(values.offsets):
        raise DatasetError(path, "has examples whose values and positions differ in number")
    size = manifest.corpus.context_size
    for flat in (positions.values.to_numpy(), column["example_positions"].flatten().to_numpy()):
        if len(flat) and (flat.min() < 0 or flat.max() >= size):
            raise DatasetError(path, f"has a position outside contexts of {size} tokens")
