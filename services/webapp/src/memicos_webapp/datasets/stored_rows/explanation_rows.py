"""Explanations and scores of a source as checked rows for COPY, in the column order of the tables."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from memicos_dataset import read
from memicos_dataset.checks.request_columns import read_parameters, write_parameters
from memicos_dataset.checks.rows import check_explanations, check_scores, leave_out
from memicos_dataset.errors import RowError
from memicos_dataset.folder import Location
from memicos_dataset.manifest import Source
from memicos_dataset.schema import REQUEST_COLUMNS

from memicos_webapp.datasets.stored_rows import binary_copy, row_digests
from memicos_webapp.datasets.stored_rows.binary_copy import DOUBLE, INT2, INT4, INT8, REAL, Chunk, storable
from memicos_webapp.datasets.stored_rows.row_digests import Stored

ROWS_AT_ONCE = 1024
"""Explanations or scores that are decoded and sent to the database at once."""

_REQUEST_NUMBERS = {"template_version": INT2, "prompt_tokens": INT4, "completion_tokens": INT4, "cost": DOUBLE}
_SCORED_TEXTS = {"text_contexts": INT4, "text_positions": INT2, "text_distances": INT2, "text_answers": REAL}
_LEFT_OUT = 0
"""In place of an explanation's id; ids begin with 1."""

Key = tuple[int, str, str, str | None]
"""What makes explanations of a source equal: index, description, method and model."""
Request = Mapping[str, object]
"""What is known of an explanation's request: REQUEST_COLUMNS, of which `parameters` is JSON."""


@dataclass(frozen=True)
class KnownExplanation:
    """An explanation that the source has already."""

    id: int
    request: Request


@dataclass
class ExplanationRows:
    """Rows of the explanations of `source` and of their scores. Explanations have to be read before scores.

    `indices` are those of the source's features, `context_lengths` (N,) the tokens of each context. `reject` is called
    with the error of a row that a reader could not show; the row is left out where it returns.

    `known` are the explanations of datasets that the source has already: equal ones of the file make no new rows.
    Others take their ids from `new_ids`.
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
    known: Mapping[Key, KnownExplanation]
    new_ids: Iterator[int]
    changed: list[tuple[int, Request]] = field(default_factory=list)
    """Ids of known explanations of whose requests the file says something else, and what it says."""

    def __post_init__(self) -> None:
        self._ids: dict[Key, int] = {}
        rows = self.source.explanations.rows if self.source.explanations else 0
        self._ids_of_rows = np.full(rows, _LEFT_OUT)

    def missing(self) -> list[int]:
        """Ids of known explanations that the file does not have."""
        return [known.id for key, known in self.known.items() if key not in self._ids]

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
            ids = np.full(len(batch.rows), _LEFT_OUT)
            new = []
            keys: Iterator[Key] = zip(index.tolist(), *texts, strict=True)  # pyright: ignore[reportAssignmentType]
            contents = zip(*(column.to_pylist() for column in requests), strict=True)
            for row, (key, content) in enumerate(zip(keys, contents, strict=True)):
                if key not in self._ids:
                    self._ids[key] = self._id(key, dict(zip(REQUEST_COLUMNS, content, strict=True)), stored)
                    if key not in self.known:
                        new.append(row)
                ids[row] = self._ids[key]
            self._ids_of_rows[batch.first_row + numbers] = ids
            rows = binary_copy.joined(
                [
                    binary_copy.numbers(ids, INT8),
                    binary_copy.numbers(index, INT4),
                    *map(binary_copy.texts, texts),
                    *_request_fields(requests),
                ]
            )
            yield binary_copy.chunk([rows[row] for row in new], len(self.EXPLANATION), source, len(batch.rows))

    def _id(self, key: Key, request: dict[str, object], stored: Stored) -> int:
        """The id of an explanation that occurs for the first time."""
        stored.rows += 1
        stored.digest += row_digests.explanation_digest(*key, request)
        known = self.known.get(key)
        if known is None:
            return next(self.new_ids)
        if _parsed(known.request) != _parsed(request):
            self.changed.append((known.id, request))
        return known.id

    def scores(self, corpus_id: int, stored: Stored) -> Iterator[Chunk]:
        """The rows of scores. An explanation has one of each method and model, which is the first of the file; those
        of explanations that were left out are left out, too."""
        corpus = [binary_copy.number(corpus_id, INT4)]
        scored: dict[tuple[str | None, str | None], set[int]] = {}
        for batch in read.score_batches(self.folder, self.source, ROWS_AT_ONCE):
            batch = leave_out(batch, lambda part: check_scores(part, self.source, self.context_lengths), self.reject)
            column = {name: batch.rows.column(name) for name in batch.rows.schema.names}
            ids = self._ids_of_rows[column["explanation"].to_numpy()]
            methods, models = (_storable_texts(column[name]) for name in ("method", "model"))
            new = []
            for row, (explanation, method, model) in enumerate(zip(ids.tolist(), methods, models, strict=True)):
                known = scored.setdefault((method, model), {_LEFT_OUT})
                if explanation not in known:
                    known.add(explanation)
                    new.append(row)
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


def _parsed(request: Request) -> dict[str, object]:
    parameters = request["parameters"]
    return {**request, "parameters": json.loads(parameters) if isinstance(parameters, str) else None}


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
