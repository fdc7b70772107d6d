"""A dataset's Parquet rows as checked rows for COPY, in the column order of the tables."""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from memicos_dataset import read
from memicos_dataset.checks import (
    ContextCheck,
    DocumentCheck,
    FeatureCheck,
    VocabularyCheck,
    check_explanations,
    check_scores,
    leave_out,
)
from memicos_dataset.errors import RowError
from memicos_dataset.folder import Location
from memicos_dataset.manifest import FileEntry, Manifest, Source
from memicos_dataset.request_columns import read_parameters, write_parameters
from memicos_dataset.schema import CONTEXTS, NO_POSITION, REQUEST_COLUMNS

from memicos_webapp.datasets.stored_rows import row_digests
from memicos_webapp.datasets.stored_rows.binary_copy import Chunk, chunk
from memicos_webapp.datasets.stored_rows.row_digests import FEATURE_ATTRIBUTIONS, FEATURE_COLUMNS, INT2, INT4, REAL
from memicos_webapp.datasets.stored_rows.token_strings import TokenStrings

Record = tuple[Any, ...]

_SCORE_NUMBERS = (
    "explanation",
    "seed",
    "around",
    "text_contexts",
    "text_positions",
    "text_distances",
    "text_answers",
)


def storable(text: str) -> str:
    """Text with NUL characters, which PostgreSQL cannot store, replaced by their sign; byte-level tokens have them."""
    return text.replace("\0", "␀")


@dataclass
class Stored:
    """Rows of a file that were made into records, and their digest."""

    rows: int = 0
    digest: int = 0


class DatasetRows:
    """Records of one dataset. Contexts have to be read before features, features before a source's explanations.

    `reject` is called with the error of a feature or an explanation that a reader could not show; the row is left out
    where it returns. Every method raises DatasetError (with file, row and column) for such a row of the texts.
    `stored` is about the file that was read last, or the contexts, once the iterator of its records has ended.
    """

    VOCABULARY = ("corpus_id", "token_id", "token")

    DOCUMENT = ("corpus_id", "number", "title", "collection")
    CONTEXT = ("corpus_id", "number", "document", "token_ids", "tokens")
    EXPLANATION = ("load_id", "number", "index", "description", "method", "model", *REQUEST_COLUMNS)
    SCORE = (
        "load_id",
        "explanation",
        "method",
        "model",
        "value",
        "low",
        "high",
        "reason",
        "seed",
        "around",
        "text_contexts",
        "text_positions",
        "text_distances",
        "text_answers",
        "text_details",
        *REQUEST_COLUMNS,
    )
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
        *FEATURE_ATTRIBUTIONS,
    )

    def __init__(self, folder: Location, manifest: Manifest, reject: Callable[[RowError], None]) -> None:
        self._folder, self._manifest, self._reject = folder, manifest, reject
        self._documents = DocumentCheck(manifest)
        self._tokens = self._read_vocabulary()
        self._strings = TokenStrings(self._tokens)
        for batch in read.document_batches(folder, manifest):
            self._documents.check(batch)
        self._contexts = ContextCheck(manifest, self._documents.numbers, self._tokens)
        self._checks: dict[str, FeatureCheck] = {}
        self.stored = Stored()

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

    def vocabulary(self, corpus_id: int) -> Iterator[Record]:
        for token_id, token in self._tokens.items():
            yield corpus_id, token_id, token

    def check_contexts(self) -> None:
        """Check the contexts without making records, where the database has them already."""
        for batch in read.context_batches(self._folder, self._manifest):
            self._contexts.check(batch)

    def contexts(self, corpus_id: int) -> Iterator[Chunk]:
        known_ids = self._manifest.corpus.token_ids == "tokenizer"
        self.stored = Stored()
        for batch in read.context_batches(self._folder, self._manifest):
            self._contexts.check(batch)
            column = {name: batch.rows.column(name) for name in CONTEXTS.names}
            numbers = [row_digests.numbers(column[name].to_numpy(), INT4) for name in ("context", "document")]
            # numbers that the dataset gave to strings are no ids of the model's tokenizer
            offsets = column["token_ids"].offsets.to_numpy()
            offsets = offsets if known_ids else np.zeros_like(offsets)
            ids = row_digests.arrays(offsets, column["token_ids"].values.to_numpy(zero_copy_only=False), INT4)
            tokens = self._strings.contexts(column["token_ids"])
            self.stored.rows += len(ids)
            self.stored.digest += row_digests.digest([*numbers, ids, tokens.digested])
            corpus = [struct.pack(">i", corpus_id)] * len(ids)
            yield chunk([corpus, *numbers, ids, tokens.fields])

    def begin_source(self, source: Source, stored: Iterable[int]) -> None:
        """Begin with a source's features; `stored` are the indices of those that an interrupted import stored."""
        check = FeatureCheck(source, self._contexts.lengths, self._tokens)
        check.indices.update(stored)
        self._checks[source.id] = check

    def features(self, source: Source, entry: FileEntry, load_id: int) -> Iterator[Chunk]:
        """Rows of one file of features."""
        check = self._checks[source.id]
        self.stored = Stored()
        for batch in read.feature_file_batches(self._folder, entry):
            batch = leave_out(batch, check.check, self._reject)
            column = {name: batch.rows.column(name) for name in batch.rows.schema.names}
            fields = _feature_fields(column) | _attribution_fields(column, len(batch.rows))
            # the fields of the digest that are not those of the row
            texts = {
                name: [b"" if value == row_digests.empty_array(kind) else value for value in fields[name]]
                for name, kind in FEATURE_ATTRIBUTIONS.items()
            }
            for sign in ("positive", "negative"):
                tokens = self._strings.lists(column[f"{sign}_token_ids"])
                texts[f"{sign}_tokens"], fields[f"{sign}_tokens"] = tokens.digested, tokens.fields
            self.stored.rows += len(batch.rows)
            self.stored.digest += row_digests.digest([(texts.get(name) or fields[name]) for name in FEATURE_COLUMNS])
            fields["load_id"] = [struct.pack(">q", load_id)] * len(batch.rows)
            yield chunk([fields[name] for name in self.FEATURE])

    def feature_count(self, source: Source) -> int:
        """Number of the source's features that were read."""
        return len(self._checks[source.id].indices)

    def explanations(self, source: Source, load_id: int) -> Iterator[Record]:
        self.stored = Stored()
        # an explanation that occurs twice is stored once, as its first row says
        digests: dict[tuple[object, ...], int] = {}
        for batch in read.explanation_batches(self._folder, source):
            indices = self._checks[source.id].indices
            batch = leave_out(batch, lambda part, known=indices: check_explanations(part, known), self._reject)
            numbers = range(len(batch.rows)) if batch.numbers is None else batch.numbers.tolist()
            requests = _request_records(batch.rows)
            for number, row, request in zip(numbers, batch.rows.to_pylist(), requests, strict=True):
                model = storable(row["model"]) if row["model"] is not None else None
                key = (row["index"], storable(row["description"]), storable(row["method"]), model)
                if key not in digests:
                    digests[key] = row_digests.explanation_digest(
                        *key, dict(zip(REQUEST_COLUMNS, request, strict=True))
                    )
                yield load_id, batch.first_row + number, *key, *request
        self.stored = Stored(len(digests), sum(digests.values()))

    def scores(self, source: Source, load_id: int) -> Iterator[Record]:
        self.stored = Stored()
        for batch in read.score_batches(self._folder, source):
            batch = leave_out(batch, lambda part: check_scores(part, source, self._contexts.lengths), self._reject)
            column = {name: _values(batch.rows.column(name)) for name in _SCORE_NUMBERS}
            texts = [
                [None if text is None else storable(text) for text in batch.rows.column(name).to_pylist()]
                for name in ("method", "model", "reason")
            ]
            values = [batch.rows.column(name).to_pylist() for name in ("score", "score_low", "score_high")]
            lists = [column[name] for name in _SCORE_NUMBERS[3:]]
            records = zip(
                [load_id] * len(batch.rows),
                column["explanation"],
                *texts[:2],
                *values,
                texts[2],
                column["seed"],
                column["around"],
                *lists,
                _score_details(batch.rows),
                strict=True,
            )
            for record, request in zip(records, _request_records(batch.rows), strict=True):
                yield *record, *request


def _request_records(rows: pa.RecordBatch) -> list[Record]:
    """The columns `REQUEST_COLUMNS` of explanations or scores that were checked; None where the file lacks one."""
    columns = [
        rows.column(name).to_pylist() if name in rows.schema.names else [None] * len(rows) for name in REQUEST_COLUMNS
    ]
    named = dict(zip(REQUEST_COLUMNS, columns, strict=True))
    named["profile"] = [None if name is None else storable(name) for name in named["profile"]]
    named["parameters"] = [
        None if content is None else write_parameters(read_parameters(content)) for content in named["parameters"]
    ]
    return list(zip(*named.values(), strict=True))


def _score_details(rows: pa.RecordBatch) -> list[str | None]:
    """What each score says of its texts beside the answers, as JSON (`scores.rows.Detail`); None where it says nothing.

    `rows` are rows of scores that were checked.
    """
    names = {"marked": "text_marked", "expected": "text_expected", "failure": "text_failures"}
    columns = {key: rows.column(name).to_pylist() for key, name in names.items() if name in rows.schema.names}
    found: list[str | None] = []
    for row, texts in enumerate(rows.column("text_contexts").to_pylist()):
        own = {key: column[row] for key, column in columns.items() if column[row]}
        details = [{key: values[text] for key, values in own.items() if values[text]} for text in range(len(texts))]
        for detail in details:
            if "failure" in detail:
                detail["failure"] = storable(detail["failure"])
        found.append(json.dumps(details) if any(details) else None)
    return found


def _values(column: pa.Array) -> list[Any]:
    """A column of numbers or of lists of numbers as Python values; much faster than `to_pylist`."""
    if pa.types.is_list(column.type) and column.values.null_count:
        return column.to_pylist()
    if not pa.types.is_list(column.type):
        return column.to_numpy(zero_copy_only=False).tolist()
    flat = column.values.to_numpy(zero_copy_only=False).tolist()
    return [flat[start:end] for start, end in pairwise(column.offsets.to_numpy().tolist())]


def _attribution_fields(column: Mapping[str, pa.Array], rows: int) -> dict[str, list[bytes]]:
    """Direct feature attributions of a batch of `rows` features; empty arrays where none of the examples has any."""
    empty = {name: row_digests.empty_array(kind) for name, kind in FEATURE_ATTRIBUTIONS.items()}
    if "example_dfa_values" not in column:
        return {name: [value] * rows for name, value in empty.items()}
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
    found = {
        "example_dfa_positions": row_digests.arrays(outer, positions, INT2),
        "example_dfa_lengths": row_digests.arrays(outer, lengths, INT2),
        "dfa_values": row_digests.arrays(bounds, values.values.values.to_numpy(zero_copy_only=False), REAL),
    }
    has_any = (np.diff(bounds) > 0).tolist()
    return {
        name: [value if present else empty[name] for value, present in zip(fields, has_any, strict=True)]
        for name, fields in found.items()
    }


def _feature_fields(column: Mapping[str, pa.Array]) -> dict[str, list[bytes]]:
    """Numbers and arrays of numbers of a batch of features, by column of the table."""
    fields = {
        name: row_digests.numbers(column[name].to_numpy(), kind) for name, kind in row_digests.FEATURE_NUMBERS.items()
    }
    outer = {name: column[name].offsets.to_numpy() for name in ("value_positions", "values")}
    inner = {name: column[name].values.offsets.to_numpy() for name in outer}
    for name, kind in row_digests.FEATURE_ARRAYS.items():
        if name == "example_lengths":
            offsets, values = outer["values"], np.diff(inner["values"])
        elif name in outer:
            offsets, values = inner[name][outer[name]], column[name].values.values.to_numpy(zero_copy_only=False)
        else:
            offsets, values = column[name].offsets.to_numpy(), column[name].values.to_numpy(zero_copy_only=False)
        fields[name] = row_digests.arrays(offsets, values, kind)
    return fields
