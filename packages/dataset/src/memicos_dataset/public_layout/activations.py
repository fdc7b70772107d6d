"""Activation rows as columns: what an example has, its context a number of the corpus."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from memicos_dataset.public_layout.corpus import Context, CorpusBuilder
from memicos_dataset.public_layout.lines import Row
from memicos_dataset.public_layout.values import (
    LARGEST_INDEX,
    ValueProblem,
    check_source,
    feature_index,
    number,
    numbers,
    quoted,
)
from memicos_dataset.schema import NO_POSITION

CHUNK_ROWS = 2048
"""Rows that are turned into columns at once."""
LONGEST_CONTEXT = 2**15 - 1
"""Tokens of a context, whose positions have 16 bits."""
TOP_BIN = -1
"""`binMin` and `binContains` of a strongest example."""

EXAMPLES = pa.schema(
    [
        ("index", pa.int32()),
        ("line", pa.int64()),
        ("context", pa.int32()),
        ("position", pa.int16()),
        # NaN for a strongest example
        ("bin_min", pa.float32()),
        ("bin_max", pa.float32()),
        ("share", pa.float32()),
        ("value_positions", pa.list_(pa.int16())),
        ("values", pa.list_(pa.float32())),
        ("dfa_values", pa.list_(pa.float32())),
        ("dfa_position", pa.int16()),
        ("extra", pa.string()),
    ]
)

_NO_BIN = (float("nan"), float("nan"), float("nan"))
_USED = frozenset(
    ("index", "layer", "tokens", "tokenIds", "values", "binMin", "binMax", "binContains", "dfaValues", "dfaTargetIndex")
) | {"qualifyingTokenIndex", "maxValueTokenIndex"}
_DERIVED = frozenset(("modelId", "source", "maxValue", "minValue", "dfaMaxValue"))
_NOT_CARRIED = frozenset(("id", "creatorId", "createdAt"))
FIELDS_WITH_COLUMN = _USED | _DERIVED | _NOT_CARRIED
"""Fields that are stored in a column, can be computed, or belong to the owner of a row."""

Reject = Any
"""Called with line, column and problem of a row that is left out."""


@dataclass(frozen=True)
class ActivationColumns:
    """N activation rows of one source with T tokens together."""

    indices: np.ndarray
    """(N,) int64: of the features."""
    lines: np.ndarray
    """(N,) int64: in the file, from 1."""
    starts: np.ndarray
    """(N + 1,) int64: where the tokens of each row begin and end."""
    values: np.ndarray
    """(T,) float32"""
    digests: Sequence[bytes]
    """N hashes of contexts."""
    context: Callable[[int], Context]
    """Tokens of a row."""
    positions: np.ndarray
    """(N,) int64: the position that each row was selected for."""
    bins: np.ndarray
    """(N, 3) float32: ends of the interval and its share, NaN for a strongest example."""
    dfa: pa.Array
    """N lists of float32, empty where a row has none."""
    dfa_positions: np.ndarray
    """(N,) int64; NO_POSITION where a row has none."""
    extra: pa.Array
    """N objects of fields without a column, as JSON."""


class ActivationChunk:
    """Activation rows of one source, added one by one."""

    def __init__(self, source_id: str, corpus: CorpusBuilder) -> None:
        self._source_id, self._corpus = source_id, corpus
        self._values = array("d")
        self._lengths: list[int] = []
        self._indices: list[int] = []
        self._lines: list[int] = []
        self._digests: list[bytes] = []
        self._tokens: list[list[str]] = []
        self._ids: list[list[int] | None] = []
        self._positions: list[int] = []
        self._bins: list[tuple[float, float, float]] = []
        self._dfa: list[list[float]] = []
        self._dfa_positions: list[int] = []
        self._extra: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: int, row: Row) -> None:
        """Add a row.

        Raises:
            ValueProblem: it cannot be stored.
        """
        index = feature_index(row)
        if row.get("layer") != self._source_id:
            check_source(row, self._source_id)
        tokens, values = row.get("tokens"), row.get("values")
        if not isinstance(tokens, list) or not tokens or set(map(type, tokens)) != {str}:
            raise ValueProblem("tokens", f"{quoted(tokens)} is no list of strings with at least one")
        if len(tokens) > LONGEST_CONTEXT:
            raise ValueProblem("tokens", f"has {len(tokens)} tokens, more than {LONGEST_CONTEXT}")
        if not isinstance(values, list) or len(values) != len(tokens):
            length = f"has {len(values)} entries" if isinstance(values, list) else "is no list"
            raise ValueProblem("values", f"{length}, and tokens has {len(tokens)}")
        ids = _token_ids(row, len(tokens))
        position = _position(row, values, len(tokens))
        bins = _bins(row)
        dfa = numbers(row, "dfaValues") if row.get("dfaValues") else []
        if dfa and len(dfa) != len(tokens):
            raise ValueProblem("dfaValues", f"has {len(dfa)} entries, and tokens has {len(tokens)}")
        try:
            digest = self._corpus.digest(tokens, ids)
        except (TypeError, OverflowError):
            raise ValueProblem("tokens", "has half of a surrogate pair, which is no character") from None
        if ids is not None:
            self._corpus.check_ids("tokenIds", tokens, ids)
        dfa_position = _dfa_position(row, dfa, len(tokens))
        extra = extra_json(row, FIELDS_WITH_COLUMN)
        # nothing is refused after the values
        self._add_values(values)
        self._lengths.append(len(values))
        self._indices.append(index)
        self._lines.append(line)
        self._digests.append(digest)
        self._tokens.append(tokens)
        self._ids.append(ids)
        self._positions.append(position)
        self._bins.append(bins)
        self._dfa.append(dfa)
        self._dfa_positions.append(dfa_position)
        self._extra.append(extra)

    def _add_values(self, values: list[Any]) -> None:
        length = len(self._values)
        try:
            self._values.extend(values)
        except (TypeError, OverflowError):
            del self._values[length:]
            raise ValueProblem("values", "has an entry that is no number") from None

    def columns(self) -> ActivationColumns:
        """The rows that were added."""
        return ActivationColumns(
            indices=np.array(self._indices, dtype=np.int64),
            lines=np.array(self._lines, dtype=np.int64),
            starts=np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64),
            values=_float32(np.frombuffer(self._values, dtype=np.float64)),
            digests=self._digests,
            context=lambda row: (self._tokens[row], self._ids[row]),
            positions=np.array(self._positions, dtype=np.int64),
            bins=np.array(self._bins, dtype=np.float32).reshape(-1, 3),
            dfa=pa.array(self._dfa, pa.list_(pa.float32())),
            dfa_positions=np.array(self._dfa_positions, dtype=np.int64),
            extra=pa.array(self._extra, pa.string()),
        )


def examples_table(columns: ActivationColumns, corpus: CorpusBuilder, reject: Reject) -> pa.Table:
    """The rows as a table of EXAMPLES, their contexts added to the corpus; `reject` is called for those whose values
    are not finite, which are left out."""
    values, starts = columns.values, columns.starts
    count = len(columns.lines)
    kept = np.arange(count)
    if not np.isfinite(values).all():
        invalid = np.unique(np.searchsorted(starts, np.flatnonzero(~np.isfinite(values)), side="right") - 1)
        for row in invalid.tolist():
            reject(int(columns.lines[row]), "values", "has an entry that is no finite number")
        kept = np.setdiff1d(kept, invalid)
    rows = kept.tolist()
    contexts = corpus.add([columns.digests[row] for row in rows], lambda place: columns.context(rows[place]))
    active = np.flatnonzero(values)
    offsets = np.searchsorted(active, starts)
    positions = active - np.repeat(starts[:-1], np.diff(offsets))
    lists = pa.array(offsets.astype(np.int32))
    table = pa.Table.from_arrays(
        [
            pa.array(columns.indices.astype(np.int32)),
            pa.array(columns.lines),
            pa.array(np.zeros(count, dtype=np.int32)),
            pa.array(columns.positions.astype(np.int16)),
            *(pa.array(np.ascontiguousarray(columns.bins[:, axis])) for axis in range(3)),
            pa.ListArray.from_arrays(lists, pa.array(positions.astype(np.int16))),
            pa.ListArray.from_arrays(lists, pa.array(values[active])),
            columns.dfa,
            pa.array(columns.dfa_positions.astype(np.int16)),
            columns.extra,
        ],
        schema=EXAMPLES,
    )
    table = table if len(kept) == count else table.take(pa.array(kept))
    return table.set_column(2, EXAMPLES.field("context"), pa.array(contexts.astype(np.int32)))


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def extra_json(row: Row, left_out: Iterable[str]) -> str:
    """Fields of a row that no column has, as a JSON object; empty where there are none.

    Raises:
        ValueProblem: they have half of a surrogate pair, a whole number of more than 64 bits, or are nested too deeply.
    """
    extra = {name: value for name, value in row.items() if name not in left_out and value is not None and value != []}
    try:
        return orjson.dumps(extra, option=orjson.OPT_SORT_KEYS).decode() if extra else ""
    except orjson.JSONEncodeError as error:
        raise ValueProblem("", f"has a field that cannot be stored ({error})") from None


def _token_ids(row: Row, count: int) -> list[int] | None:
    ids = row.get("tokenIds")
    if ids is None:
        return None
    if (
        not isinstance(ids, list)
        or len(ids) != count
        or set(map(type, ids)) != {int}
        or not 0 <= min(ids) <= max(ids) <= LARGEST_INDEX
    ):
        raise ValueProblem("tokenIds", f"{quoted(ids)} is no list of {count} token ids")
    return ids


def _position(row: Row, values: list[Any], count: int) -> int:
    """The position that was selected; in rows that do not say it, that of the largest value."""
    for column in ("qualifyingTokenIndex", "maxValueTokenIndex"):
        position = row.get(column)
        if position is not None:
            if type(position) is not int or not 0 <= position < count:
                raise ValueProblem(column, f"{quoted(position)} is no position of {count} tokens")
            return position
    try:
        return values.index(max(values))
    except (TypeError, ValueError):
        raise ValueProblem("values", "has an entry that is no number") from None


def _bins(row: Row) -> tuple[float, float, float]:
    """Ends of the interval and its share; NaN for a strongest example."""
    if row.get("binMin") in (None, TOP_BIN) or row.get("binMax") is None or row.get("binContains") == TOP_BIN:
        return _NO_BIN
    low, high, share = number(row, "binMin"), number(row, "binMax"), number(row, "binContains")
    assert low is not None and high is not None
    if not low <= high:
        raise ValueProblem("binMax", f"{high} is below binMin, {low}")
    share = share or 0.0
    if not 0 <= share <= 1:
        raise ValueProblem("binContains", f"{share} is no share from 0 to 1")
    return low, high, share


def _dfa_position(row: Row, dfa: list[float], count: int) -> int:
    target = row.get("dfaTargetIndex")
    if not dfa or target is None:
        return NO_POSITION
    if type(target) is not int or not 0 <= target < count:
        raise ValueProblem("dfaTargetIndex", f"{quoted(target)} is no position of {count} tokens")
    return target
