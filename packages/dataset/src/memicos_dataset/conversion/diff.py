"""Differences of two datasets: sources, features, columns and values.

Numbers that a dataset gives have no meaning of their own: contexts are compared by their tokens, token ids by their
strings, and explanations of scores by what they say. Fields of the manifest that say how a dataset was made are not
compared. Scores, and what is known of requests to language models, are compared only where both datasets have some of
the source: the public layout has no place for them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from memicos_dataset import manifest as m
from memicos_dataset import read, schema
from memicos_dataset.checks.request_columns import read_parameters, write_parameters
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder

TOLERANCE = 1e-5
"""Largest relative difference of numbers that are equal: they are stored with 32 bits."""
SHOWN = 10
"""Differences of a source that are shown with their values."""

_TOKEN_COLUMNS = ("positive_token_ids", "negative_token_ids")
_CONTEXTS = "example_contexts"
_EMPTY: tuple[Any, ...] = (None, "", [])

Row = dict[str, Any]


@dataclass
class SourceDiff:
    """Differences of one source. `columns`: number of features with another value in each column."""

    source: str
    features: int = 0
    only_first: list[int] = field(default_factory=list)
    only_second: list[int] = field(default_factory=list)
    columns: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    explanations_only_first: int = 0
    explanations_only_second: int = 0
    scores_only_first: int = 0
    scores_only_second: int = 0

    def __bool__(self) -> bool:
        return bool(
            self.only_first
            or self.only_second
            or self.columns
            or self.explanations_only_first
            or self.explanations_only_second
            or self.scores_only_first
            or self.scores_only_second
        )


class _Side:
    """One of the datasets, with the strings of its contexts.

    Raises:
        DatasetError: it cannot be read, or a row names a context, a token or an explanation that it does not have; also
            by the methods.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.manifest = read.read_manifest(folder)
        self.sources = {source.id: source for source in self.manifest.source_set.sources}
        self._strings: dict[int, str] = {}
        for batch in read.vocabulary(folder, self.manifest):
            self._strings.update(zip(*(batch.column(n).to_pylist() for n in ("token_id", "token")), strict=True))
        self._context_keys = np.zeros(self.manifest.corpus.contexts, dtype=np.int64)
        for batch in read.context_batches(folder, self.manifest):
            numbers, ids = (batch.rows.column(name).to_pylist() for name in ("context", "token_ids"))
            for row, (number, own) in enumerate(zip(numbers, ids, strict=True)):
                self._check_contexts(batch, row, "context", [number])
                self._context_keys[number] = hash(tuple(self._tokens(batch, row, "token_ids", own)))

    def _check_contexts(self, batch: read.Batch, row: int, column: str, numbers: Sequence[int]) -> None:
        """
        Raises:
            RowError: one of them is not a context of the corpus.
        """
        for number in numbers:
            if not 0 <= number < len(self._context_keys):
                raise batch.error(row, column, f"{number} is not a context of the corpus")

    def _contexts(self, batch: read.Batch, row: int, column: str, numbers: Sequence[int]) -> list[int]:
        """Hashes of the tokens of contexts."""
        self._check_contexts(batch, row, column, numbers)
        return [int(self._context_keys[number]) for number in numbers]

    def _tokens(self, batch: read.Batch, row: int, column: str, ids: Sequence[int]) -> list[str]:
        """
        Raises:
            RowError: one of them is not in the vocabulary.
        """
        try:
            return [self._strings[i] for i in ids]
        except KeyError as error:
            raise batch.error(row, column, f"{error} is not in the vocabulary") from None

    def features(self, source: m.Source) -> Iterator[Row]:
        """Rows whose numbers of contexts and tokens are replaced, by ascending index.

        Raises:
            DatasetError: see the class; or they are not ascending.
        """
        last = -1
        for batch in read.feature_batches(self.folder, source):
            for number, row in enumerate(batch.rows.to_pylist()):
                if row["index"] <= last:
                    raise DatasetError(batch.path, "features are not in the order of their indices")
                last = row["index"]
                row[_CONTEXTS] = self._contexts(batch, number, _CONTEXTS, row[_CONTEXTS])
                row |= {name: self._tokens(batch, number, name, row[name]) for name in _TOKEN_COLUMNS}
                yield row

    def explanations(self, source: m.Source) -> list[tuple[object, ...]]:
        """What each explanation says, and what is known of its request."""
        names = (*schema.EXPLANATIONS.names, *schema.REQUEST_COLUMNS)
        return [
            row
            for batch in read.explanations(self.folder, source)
            for row in zip(*(_comparable(batch, name) for name in names), strict=True)
        ]

    def scores(self, source: m.Source, explanations: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
        """Explanation, texts and values of each score, and what is known of its requests. `explanations` are those of
        the source.
        """
        names = [name for name in schema.SCORE_TABLE.known.names if name not in ("explanation", "text_contexts")]
        rows: list[tuple[object, ...]] = []
        for batch in read.score_batches(self.folder, source):
            contexts = [
                tuple(self._contexts(batch, row, "text_contexts", named))
                for row, named in enumerate(batch.rows.column("text_contexts").to_pylist())
            ]
            numbers = batch.rows.column("explanation").to_pylist()
            for row, number in enumerate(numbers):
                if not 0 <= number < len(explanations):
                    raise batch.error(row, "explanation", f"there is no explanation {number}")
            own = [explanations[number][: len(schema.EXPLANATIONS)] for number in numbers]
            rows.extend(zip(own, contexts, *(_comparable(batch.rows, name) for name in names), strict=True))
        return rows


def diff(
    first: Folder, second: Folder, tolerance: float = TOLERANCE, sources: Sequence[str] = ()
) -> Iterator[str | SourceDiff]:
    """Differences of two native datasets: lines about their manifests, and a SourceDiff for each source that both have.

    Only `sources` are compared, if any are named.

    Raises:
        DatasetError: one of them cannot be read, or lacks one of `sources`.
    """
    sides = _Side(first), _Side(second)
    chosen: list[set[str]] = []
    for side in sides:
        if missing := sorted(set(sources) - side.sources.keys()):
            raise DatasetError(side.folder.locate(m.FILE_NAME), f"has no sources {', '.join(missing)}")
        chosen.append(set(sources) or set(side.sources))
    for name in ("model", "source_set"):
        ids = [getattr(side.manifest, name).id for side in sides]
        if ids[0] != ids[1]:
            yield f"{name}: {ids[0]!r} and {ids[1]!r}"
    for side, other in ((0, 1), (1, 0)):
        for source in sorted(chosen[side] - chosen[other]):
            yield f"source {source} is in the {('first', 'second')[side]} only"
    for name in sorted(chosen[0] & chosen[1]):
        yield _source_diff(name, sides, tolerance)


def _source_diff(name: str, sides: tuple[_Side, _Side], tolerance: float) -> SourceDiff:
    result = SourceDiff(name)
    sources = [side.sources[name] for side in sides]
    rows = _joined(sides[0].features(sources[0]), sides[1].features(sources[1]))
    for index, first, second in rows:
        if first is None:
            result.only_second.append(index)
        elif second is None:
            result.only_first.append(index)
        else:
            result.features += 1
            for column in _differing(first, second, tolerance):
                result.columns[column] += 1
                if len(result.examples) < SHOWN:
                    values = _short(first.get(column)), _short(second.get(column))
                    result.examples.append(f"feature {index}, {column}: {values[0]} and {values[1]}")
    explanations = [side.explanations(source) for side, source in zip(sides, sources, strict=True)]
    result.explanations_only_first, result.explanations_only_second = _only(*explanations)
    if all(source.scores for source in sources):
        scores = [side.scores(source, own) for side, source, own in zip(sides, sources, explanations, strict=True)]
        result.scores_only_first, result.scores_only_second = _only(*scores)
    return result


def _only(first: Sequence[tuple[object, ...]], second: Sequence[tuple[object, ...]]) -> tuple[int, int]:
    """How many rows only the first and only the second sequence has. The last columns, of requests, are left out where
    one of them knows nothing of any request."""
    core = -len(schema.REQUEST_COLUMNS)
    if not all(any(value is not None for row in rows for value in row[core:]) for rows in (first, second)):
        first, second = ([row[:core] for row in rows] for rows in (first, second))
    left, right = Counter(first), Counter(second)
    return (left - right).total(), (right - left).total()


def _comparable(rows: pa.RecordBatch, name: str) -> list[object]:
    """A column as values that can be counted; nulls where it is missing."""
    if name not in rows.schema.names:
        return [None] * len(rows)
    values = rows.column(name).to_pylist()
    if name == "parameters":
        return [None if content is None else _parameters(content) for content in values]
    return [_frozen(value) for value in values]


def _parameters(content: str) -> str:
    """Parameters in one canonical form, as the order of keys has no meaning; other text unchanged."""
    try:
        return write_parameters(read_parameters(content))
    except ValueError:
        return content


def _frozen(value: object) -> object:
    """Lists as tuples, which can be counted; lists without content as None, like a column that is missing."""
    if isinstance(value, list):
        entries = tuple(_frozen(entry) for entry in value)
        return None if all(entry in (None, "") for entry in entries) else entries
    return value


def _joined(first: Iterator[Row], second: Iterator[Row]) -> Iterator[tuple[int, Row | None, Row | None]]:
    """Rows of two ascending sequences by index."""
    left, right = next(first, None), next(second, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left["index"] < right["index"]):
            assert left is not None
            yield left["index"], left, None
            left = next(first, None)
        elif left is None or right["index"] < left["index"]:
            yield right["index"], None, right
            right = next(second, None)
        else:
            yield left["index"], left, right
            left, right = next(first, None), next(second, None)


def _differing(first: Mapping[str, Any], second: Mapping[str, Any], tolerance: float) -> Iterable[str]:
    for column in first.keys() | second.keys():
        known = schema.FEATURE_TABLE.column(column)
        values = first.get(column), second.get(column)
        if not _equal(*values, tolerance, known is None or known.optional):
            yield column


def _equal(first: Any, second: Any, tolerance: float, optional: bool) -> bool:
    """Whether values are equal; an optional column that is missing is equal to an empty one."""
    if optional and _is_empty(first) and _is_empty(second):
        return True
    if isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            return False
        if first and isinstance(first[0], float):
            return bool(np.allclose(first, second, rtol=tolerance, atol=tolerance * max(map(abs, first))))
        return all(_equal(a, b, tolerance, optional) for a, b in zip(first, second, strict=True))
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= tolerance * max(abs(first), abs(second))
    return first == second


def _is_empty(value: Any) -> bool:
    """Whether a value has nothing: null, or a list of what is empty. -1 is no position."""
    if isinstance(value, list):
        return all(_is_empty(entry) for entry in value)
    return value in _EMPTY or value == schema.NO_POSITION


def _short(value: object) -> str:
    content = repr(value)
    return content if len(content) <= 80 else content[:77] + "..."
