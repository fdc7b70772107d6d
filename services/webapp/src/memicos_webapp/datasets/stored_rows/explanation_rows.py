"""Explanations and scores of a source as checked rows for COPY, in the column order of the tables."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from memicos_dataset import read
from memicos_dataset.checks.request_columns import read_parameters, write_parameters
from memicos_dataset.checks.rows import check_explanations, check_scores, leave_out
from memicos_dataset.errors import RowError
from memicos_dataset.folder import Location
from memicos_dataset.hash_numbers import HashNumbers
from memicos_dataset.manifest import Source
from memicos_dataset.schema import REQUEST_COLUMNS

from memicos_webapp.datasets.stored_rows import binary_copy, row_digests
from memicos_webapp.datasets.stored_rows.binary_copy import DOUBLE, INT2, INT4, INT8, REAL, Chunk, storable
from memicos_webapp.datasets.stored_rows.known_explanations import Identity, KnownExplanations, Request, key_of
from memicos_webapp.datasets.stored_rows.row_digests import Stored

ROWS_AT_ONCE = 1024
"""Explanations or scores that are decoded and sent to the database at once."""

_REQUEST_NUMBERS = {"template_version": INT2, "prompt_tokens": INT4, "completion_tokens": INT4, "cost": DOUBLE}
_SCORED_TEXTS = {"text_contexts": INT4, "text_positions": INT2, "text_distances": INT2, "text_answers": REAL}
_LEFT_OUT = -1
"""In place of the number of an explanation."""


@dataclass
class ExplanationRows:
    """Rows of the explanations of `source` and of their scores. Explanations have to be read before scores.

    `indices` are those of the source's features, `context_lengths` (N,) the tokens of each context. `reject` is called
    with the error of a row that a reader could not show; the row is left out where it returns.

    `known` are the explanations of datasets that the source has already: equal ones of the file make no new rows.
    Others take their ids from `new_ids`. In memory are some 100 bytes for each explanation, whatever its text is.
    """

    EXPLANATION = ("source_id", "id", "index", "description", "method", "model", *REQUEST_COLUMNS)
    SCORE = (
        "corpus_id", "explanation_id", "method", "model", "value", "low", "high", "reason", "seed", "around",
        "text_contexts", "text_positions", "text_distances", "text_answers", "text_details", *REQUEST_COLUMNS,
    )  # fmt: skip

    folder: Location
    source: Source
    indices: Collection[int]
    context_lengths: np.ndarray
    reject: Callable[[RowError], None]
    known: KnownExplanations
    new_ids: Iterator[int]

    def __post_init__(self) -> None:
        rows = self.source.explanations.rows if self.source.explanations else 0
        self._numbers = HashNumbers()
        # of each explanation of the file that differs from those before it
        self._ids = np.zeros(rows, dtype=np.int64)
        self._numbers_of_rows = np.full(rows, _LEFT_OUT)
        self._changed: list[int] = []

    def explanations(self, source_id: int, stored: Stored) -> Iterator[Chunk]:
        """The rows of new explanations. `stored` is about all of the file's; one that occurs twice is stored once, as
        its first row says."""
        source = [binary_copy.number(source_id, INT4)]
        for batch in read.explanation_batches(self.folder, self.source, ROWS_AT_ONCE):
            batch = leave_out(batch, lambda part: check_explanations(part, self.indices), self.reject)
            numbers = np.arange(len(batch.rows)) if batch.numbers is None else batch.numbers
            index = batch.rows.column("index").to_numpy()
            texts = [_storable_texts(batch.rows.column(name)) for name in ("description", "method", "model")]
            requests = _requests(batch.rows)
            identities = cast(list[Identity], list(zip(index.tolist(), *texts, strict=True)))
            keys = [key_of(*identity) for identity in identities]
            own, first = self._numbers.find_or_add(keys)
            self._numbers_of_rows[batch.first_row + numbers] = own
            new, contents = [], list(zip(*(column.to_pylist() for column in requests), strict=True))
            for row, place in zip(first, self.known.find([keys[row] for row in first]).tolist(), strict=True):
                request = dict(zip(REQUEST_COLUMNS, contents[row], strict=True))
                stored.rows += 1
                stored.digest += row_digests.explanation_digest(*identities[row], request)
                if place < 0:
                    new.append(row)
                elif not self.known.says(place, request):
                    self._changed.append(batch.first_row + int(numbers[row]))
                self._ids[own[row]] = next(self.new_ids) if place < 0 else self.known.id(place)
            rows = binary_copy.joined(
                [
                    binary_copy.numbers(self._ids[own], INT8),
                    binary_copy.numbers(index, INT4),
                    *map(binary_copy.texts, texts),
                    *_request_fields(requests),
                ]
            )
            yield binary_copy.chunk([rows[row] for row in new], len(self.EXPLANATION), source, len(batch.rows))

    def changed_requests(self) -> Iterator[list[tuple[int, Request]]]:
        """Ids of known explanations of whose requests the file says something else, and what it says, in parts."""
        changed = np.array(self._changed, dtype=np.int64)
        for batch in read.explanation_batches(self.folder, self.source, ROWS_AT_ONCE) if self._changed else ():
            own = changed[(changed >= batch.first_row) & (changed < batch.first_row + len(batch.rows))]
            requests = _requests(batch.rows.take(pa.array(own - batch.first_row)))
            contents = zip(*(column.to_pylist() for column in requests), strict=True)
            yield [
                (number, dict(zip(REQUEST_COLUMNS, content, strict=True)))
                for number, content in zip(self._ids[self._numbers_of_rows[own]].tolist(), contents, strict=True)
            ]

    def scores(self, corpus_id: int, stored: Stored) -> Iterator[Chunk]:
        """The rows of scores. An explanation has one of each method and model, which is the first of the file; those
        of explanations that were left out are left out, too."""
        corpus = [binary_copy.number(corpus_id, INT4)]
        is_scored: dict[tuple[str | None, str | None], np.ndarray] = {}
        for batch in read.score_batches(self.folder, self.source, ROWS_AT_ONCE):
            batch = leave_out(batch, lambda part: check_scores(part, self.source, self.context_lengths), self.reject)
            column = {name: batch.rows.column(name) for name in batch.rows.schema.names}
            numbers = self._numbers_of_rows[column["explanation"].to_numpy()]
            methods, models = (_storable_texts(column[name]) for name in ("method", "model"))
            new = []
            for row, (explanation, method, model) in enumerate(zip(numbers.tolist(), methods, models, strict=True)):
                if (method, model) not in is_scored:
                    is_scored[method, model] = np.zeros(len(self._ids), dtype=bool)
                if explanation != _LEFT_OUT and not is_scored[method, model][explanation]:
                    is_scored[method, model][explanation] = True
                    new.append(row)
            ids = self._ids[numbers]
            fields = [
                binary_copy.numbers(ids, INT8),
                *map(binary_copy.texts, (methods, models)),
                *(binary_copy.nullable_numbers(column[name], REAL) for name in ("score", "score_low", "score_high")),
                binary_copy.texts(_storable_texts(column["reason"])),
                binary_copy.numbers(column["seed"].to_numpy(), INT8),
                binary_copy.numbers(column["around"].to_numpy(), INT2),
                *(binary_copy.nullable_arrays(column[name], kind) for name, kind in _SCORED_TEXTS.items()),
                binary_copy.jsonb(_score_details(batch.rows)),
                *_request_fields(_requests(batch.rows)),
            ]
            rows = binary_copy.joined(fields)
            # scores have no digest
            stored.rows += len(new)
            yield binary_copy.chunk([rows[row] for row in new], len(self.SCORE), corpus, len(batch.rows))


def _storable_texts(column: pa.Array) -> list[str | None]:
    return [None if text is None else storable(text) for text in column.to_pylist()]


def _requests(rows: pa.RecordBatch) -> list[pa.Array]:
    """The columns `REQUEST_COLUMNS` of explanations or scores that were checked; null where the file lacks one."""
    columns = {
        name: rows.column(name) if name in rows.schema.names else pa.nulls(len(rows)) for name in REQUEST_COLUMNS
    }
    columns["profile"] = pa.array(_storable_texts(columns["profile"]), pa.string())
    columns["parameters"] = pa.array(
        [
            None if content is None else write_parameters(read_parameters(content))
            for content in columns["parameters"].to_pylist()
        ],
        pa.string(),
    )
    return list(columns.values())


def _request_fields(columns: Sequence[pa.Array]) -> list[list[bytes]]:
    fields = []
    for name, column in zip(REQUEST_COLUMNS, columns, strict=True):
        if column.null_count == len(column):
            fields.append([binary_copy.NULL] * len(column))
        elif name in _REQUEST_NUMBERS:
            fields.append(binary_copy.nullable_numbers(column, _REQUEST_NUMBERS[name]))
        elif name == "parameters":
            fields.append(binary_copy.jsonb(column.to_pylist()))
        else:
            fields.append(binary_copy.texts(column.to_pylist()))
    return fields


def _score_details(rows: pa.RecordBatch) -> list[str | None]:
    """What each score says of its texts beside the answers, as JSON (`scores.rows.Detail`); None where it says nothing.

    `rows` are rows of scores that were checked.
    """
    names = {"marked": "text_marked", "expected": "text_expected", "failure": "text_failures"}
    columns = {key: rows.column(name).to_pylist() for key, name in names.items() if name in rows.schema.names}
    if not columns:
        return [None] * len(rows)
    found: list[str | None] = []
    for row, texts in enumerate(rows.column("text_contexts").to_pylist()):
        own = {key: column[row] for key, column in columns.items() if column[row]}
        details = [{key: values[text] for key, values in own.items() if values[text]} for text in range(len(texts))]
        for detail in details:
            if "failure" in detail:
                detail["failure"] = storable(detail["failure"])
        found.append(json.dumps(details) if any(details) else None)
    return found
