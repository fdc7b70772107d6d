"""A dataset's Parquet rows as checked rows for COPY, in the column order of the tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from memicos_dataset import read
from memicos_dataset.checks.rows import (
    ContextCheck,
    DocumentCheck,
    FeatureCheck,
    VocabularyCheck,
    leave_out,
)
from memicos_dataset.errors import RowError
from memicos_dataset.folder import Location
from memicos_dataset.manifest import FileEntry, Manifest, Source
from memicos_dataset.schema import CONTEXTS, NO_POSITION

from memicos_webapp.database.packed_numbers import pack_integer_lists, pack_real_lists
from memicos_webapp.datasets.stored_rows import binary_copy
from memicos_webapp.datasets.stored_rows.binary_copy import INT4, INT8, REAL, Chunk, storable
from memicos_webapp.datasets.stored_rows.explanation_rows import ExplanationRows
from memicos_webapp.datasets.stored_rows.known_explanations import KnownExplanations
from memicos_webapp.datasets.stored_rows.row_digests import (
    FEATURE_COLUMNS,
    FEATURE_NUMBERS,
    PACKED_INTEGERS,
    PACKED_REALS,
    Stored,
)
from memicos_webapp.datasets.stored_rows.token_arrays import TokenArrays

Record = tuple[Any, ...]

FEATURES_AT_ONCE = 1024
"""Features that are decoded and sent to the database at once."""
VOCABULARY_ROWS = 4096
"""Tokens that are sent to the database at once."""


class DatasetRows:
    """Records of one dataset. Contexts have to be read before features, features before a source's explanations.

    `reject` is called with the error of a feature or an explanation that a reader could not show; the row is left out
    where it returns. Every method raises DatasetError (with file, row and column) for such a row of the texts.
    Rows are added to the `Stored` that is given as they are made. Rows of several files may be made at once.
    """

    VOCABULARY = ("corpus_id", "token_id", "token")

    DOCUMENT = ("corpus_id", "number", "title", "collection")
    CONTEXT = ("corpus_id", "number", "document", "token_ids")
    FEATURE = ("load_id", *FEATURE_COLUMNS)

    def __init__(self, folder: Location, manifest: Manifest, reject: Callable[[RowError], None]) -> None:
        self._folder, self._manifest, self._reject = folder, manifest, reject
        self._documents = DocumentCheck(manifest)
        self._tokens = self._read_vocabulary()
        self._arrays = TokenArrays(self._tokens)
        for batch in read.document_batches(folder, manifest):
            self._documents.check(batch)
        self._contexts = ContextCheck(manifest, self._documents.numbers, self._tokens)
        self._checks: dict[str, FeatureCheck] = {}

    def _read_vocabulary(self) -> dict[int, str]:
        """Token id -> text."""
        tokens: dict[int, str] = {}
        check = VocabularyCheck()
        for batch in read.vocabulary_batches(self._folder, self._manifest):
            check.check(batch)
            ids, texts = (batch.rows.column(name).to_pylist() for name in ("token_id", "token"))
            tokens.update(zip(ids, map(storable, texts), strict=True))
        return tokens

    def documents(self, corpus_id: int) -> Iterator[Record]:
        for batch in read.document_batches(self._folder, self._manifest):
            for row in batch.rows.to_pylist():
                yield corpus_id, row["document"], storable(row["title"]), row["collection"]

    def vocabulary(self, corpus_id: int, stored: Stored) -> Iterator[Chunk]:
        corpus = [binary_copy.number(corpus_id, INT4)]
        ids = np.fromiter(self._tokens, np.int64, len(self._tokens))
        for start in range(0, len(ids), VOCABULARY_ROWS):
            part = ids[start : start + VOCABULARY_ROWS]
            rows = binary_copy.joined([binary_copy.numbers(part, INT4), self._arrays.texts(start, len(part))])
            stored.add(rows)
            yield binary_copy.chunk(rows, len(self.VOCABULARY), corpus)

    def check_contexts(self) -> None:
        """Check the contexts without making records, where the database has them already."""
        for batch in read.context_batches(self._folder, self._manifest):
            self._contexts.check(batch)

    def contexts(self, corpus_id: int, stored: Stored) -> Iterator[Chunk]:
        corpus = [binary_copy.number(corpus_id, INT4)]
        for batch in read.context_batches(self._folder, self._manifest):
            self._contexts.check(batch)
            column = {name: batch.rows.column(name) for name in CONTEXTS.names}
            ids = column["token_ids"]
            rows = binary_copy.joined(
                [
                    *(binary_copy.numbers(column[name].to_numpy(), INT4) for name in ("context", "document")),
                    pack_integer_lists(*_flat(ids), with_length=True),
                ]
            )
            stored.add(rows)
            yield binary_copy.chunk(rows, len(self.CONTEXT), corpus)

    def begin_source(self, source: Source, stored: Iterable[int]) -> None:
        """Begin with a source's features; `stored` are the indices of those that an interrupted import stored."""
        check = FeatureCheck(source, self._contexts.lengths, self._tokens)
        check.indices.update(stored)
        self._checks[source.id] = check

    def features(self, source: Source, entry: FileEntry, load_id: int, stored: Stored) -> Iterator[Chunk]:
        """Rows of one file of features."""
        check = self._checks[source.id]
        load = [binary_copy.number(load_id, INT8)]
        for batch in read.feature_file_batches(self._folder, entry, FEATURES_AT_ONCE):
            batch = leave_out(batch, check.check, self._reject)
            column = {name: batch.rows.column(name) for name in batch.rows.schema.names}
            fields = _feature_fields(column) | _attribution_fields(column, len(batch.rows))
            for side in ("positive", "negative"):
                fields[f"{side}_tokens"] = self._arrays.fields(column[f"{side}_token_ids"])
            rows = binary_copy.joined([fields[name] for name in FEATURE_COLUMNS])
            stored.add(rows)
            yield binary_copy.chunk(rows, len(self.FEATURE), load)

    def feature_count(self, source: Source) -> int:
        """Number of the source's features that were read."""
        return len(self._checks[source.id].indices)

    def explanations(self, source: Source, known: KnownExplanations, new_ids: Iterator[int]) -> ExplanationRows:
        """Rows of the explanations and scores of a source; arguments as of `ExplanationRows`."""
        indices = self._checks[source.id].indices
        return ExplanationRows(self._folder, source, indices, self._contexts.lengths, self._reject, known, new_ids)


def _attribution_fields(column: Mapping[str, pa.Array], rows: int) -> dict[str, list[bytes]]:
    """Direct feature attributions of a batch of `rows` features; empty lists where none of the examples has any."""
    names = ("example_dfa_positions", "example_dfa_lengths", "dfa_values")
    (empty,) = binary_copy.values([b""])
    if "example_dfa_values" not in column:
        return {name: [empty] * rows for name in names}
    values = column["example_dfa_values"]
    outer, inner = values.offsets.to_numpy(), values.values.offsets.to_numpy()
    lengths, bounds = np.diff(inner), inner[outer]
    positions = np.full(len(lengths), NO_POSITION)
    own = column.get("example_dfa_positions")
    if own is not None:
        # a row has either of the lists for all of its examples, or for none
        attributed, positioned = np.diff(outer), np.diff(own.offsets.to_numpy())
        known = np.repeat(positioned > 0, attributed)
        stated = own.flatten().to_numpy(zero_copy_only=False)
        positions[outer[0] : outer[-1]][known] = stated[np.repeat(attributed > 0, positioned)]
    found = (
        pack_integer_lists(outer, positions, with_length=True),
        pack_integer_lists(outer, lengths, with_length=True),
        pack_real_lists(bounds, values.values.values.to_numpy(zero_copy_only=False), with_length=True),
    )
    has_any = (np.diff(bounds) > 0).tolist()
    return {
        name: [field if present else empty for field, present in zip(packed, has_any, strict=True)]
        for name, packed in zip(names, found, strict=True)
    }


def _feature_fields(column: Mapping[str, pa.Array]) -> dict[str, list[bytes]]:
    """Fields of the numbers and lists of numbers of a batch of features that all datasets have, by column."""
    fields = {name: binary_copy.numbers(column[name].to_numpy(), kind) for name, kind in FEATURE_NUMBERS.items()}
    for name in ("positive_logits", "negative_logits"):
        fields[name] = binary_copy.arrays(*_flat(column[name]), REAL)
    nested = ("value_positions", "values")
    flat = (name for name in (*PACKED_INTEGERS, *PACKED_REALS) if name in column and name not in nested)
    lists = {name: _flat(column[name]) for name in flat}
    for name in nested:
        outer, inner = column[name].offsets.to_numpy(), column[name].values.offsets.to_numpy()
        lists[name] = inner[outer], column[name].values.values.to_numpy(zero_copy_only=False)
        # both have the same lengths
        lists["example_lengths"] = outer, np.diff(inner)
    for name, (offsets, numbers) in lists.items():
        pack = pack_real_lists if name in PACKED_REALS else pack_integer_lists
        fields[name] = pack(offsets, numbers, with_length=True)
    return fields


def _flat(column: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Where the list of each row begins and ends (R + 1,), and the numbers of all lists."""
    return column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=False)
