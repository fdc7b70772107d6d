"""Groups of activation lines as columns.

Nearly all of a line are lists of one entry for each token. They are cut out of it: tokens, which every row of a context
repeats, are looked up by their text, and the values of all lines are parsed into one array.

A group for which this does not work, or with a value that breaks a rule, is left to `ActivationChunk`, which reads row
by row, and names the line, the column and the problem.
"""

import secrets
from array import array
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from memicos_dataset.public_layout.activations import (
    FIELDS_WITH_COLUMN,
    LONGEST_CONTEXT,
    TOP_BIN,
    ActivationColumns,
    extra_json,
)
from memicos_dataset.public_layout.corpus import Context, CorpusBuilder
from memicos_dataset.public_layout.lines import NumberedLine, Row
from memicos_dataset.public_layout.values import FLOAT32_MAX, LARGEST_INDEX, ValueProblem, feature_index, numbers
from memicos_dataset.schema import NO_POSITION

KNOWN_BYTES = 24 << 20
"""Memory of known contexts (some 25,000 of 128 tokens), which are forgotten when they need more."""
CONTEXT_BYTES = 256
"""Memory of a known context beside its texts."""
MOST_ENDS = 16
"""Places where a text of tokens can end that are tried. Few texts have a token that looks like its end."""

_LISTS = ("tokens", "tokenIds", "values")
_CUT = -secrets.randbits(62)
"""Stands in a line for a list that was cut out. Random in each process, so that no file can contain it on purpose."""
_STAND_IN = str(_CUT).encode()
_COMMA, _POINT, _ZERO = b",.0"
_NUMBER_TYPES = {int, float, type(None)}


class _GroupRefusedError(Exception):
    """The group has to be read row by row."""


class ContextTexts:
    """Contexts by the text of their tokens, and of their ids where lines have them."""

    def __init__(self, corpus: CorpusBuilder) -> None:
        self._corpus = corpus
        self._texts: set[bytes] = set()
        self._contexts: dict[bytes, tuple[bytes, int]] = {}
        """Hash and number of tokens."""
        self._bytes = 0

    def tokens(self, line: bytes, start: int) -> bytes:
        """The text of the list of tokens that begins at `start`."""
        end = start
        for _ in range(MOST_ENDS):
            end = line.find(b'"]', end) + 2
            text = line[start:end]
            # a list ends where its text is complete
            if text in self._texts or _is_list(text):
                return text
        raise _GroupRefusedError

    def digests(self, tokens: Sequence[bytes], ids: Sequence[bytes], lengths: Sequence[int]) -> list[bytes]:
        """Hashes of contexts that have as many tokens as `lengths` says. `ids` are empty where lines have none.

        Raises:
            ValueProblem: ids have other strings than in earlier rows.
        """
        if self._bytes > KNOWN_BYTES:
            self._texts.clear()
            self._contexts.clear()
            self._bytes = 0
        known = self._contexts
        keys = list(map(bytes.__add__, tokens, ids))
        # in the order of the rows; a row of each text
        rows = {key: row for row, key in enumerate(keys) if key not in known}
        new = {key: _parsed_context(tokens[row], ids[row]) for key, row in rows.items()}
        _expect([len(new[key][0]) if key in new else known[key][1] for key in keys] == lengths)
        for strings, token_ids in new.values():
            _check_context(strings, token_ids)
        # the corpus gets nothing of a row that is refused for another reason than its ids
        for key, (strings, token_ids) in new.items():
            digest = self._corpus.digest(strings, token_ids)
            if token_ids is not None:
                self._corpus.check_ids("tokenIds", strings, token_ids)
            known[key] = digest, len(strings)
            self._texts.add(tokens[rows[key]])
            self._bytes += len(key) + (len(tokens[rows[key]]) if token_ids is not None else 0) + CONTEXT_BYTES
        return [known[key][0] for key in keys]


def _parsed_context(tokens: bytes, ids: bytes) -> Context:
    return orjson.loads(tokens), orjson.loads(ids) if ids else None


def _check_context(strings: list[Any], token_ids: list[Any] | None) -> None:
    _expect(0 < len(strings) <= LONGEST_CONTEXT and set(map(type, strings)) == {str})
    if token_ids is not None:
        _expect(len(token_ids) == len(strings) and set(map(type, token_ids)) == {int})
        _expect(0 <= min(token_ids) <= max(token_ids) <= LARGEST_INDEX)


def _is_list(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _expect(condition: object) -> None:
    if not condition:
        raise _GroupRefusedError


def read_lines(lines: Sequence[NumberedLine], source_id: str, texts: ContextTexts) -> ActivationColumns | None:
    """Columns of all lines, which are those of their rows; None where they have to be read row by row."""
    try:
        return _columns(lines, source_id, texts)
    except (_GroupRefusedError, ValueProblem, orjson.JSONDecodeError, OverflowError):
        return None


def _columns(lines: Sequence[NumberedLine], source_id: str, texts: ContextTexts) -> ActivationColumns:
    rows, lists = _without_lists(lines, texts)
    _expect_only(rows, "layer", source_id, None)
    values, lengths = _sparse_numbers(lists["values"])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    indices, positions = _indices(rows), _positions(rows, values, starts)
    bins, extra = _bins(rows), _extra(rows)
    dfa, dfa_positions = _dfa(rows, lengths)
    # last, because it adds to the corpus
    ids = lists.get("tokenIds") or [b""] * len(rows)
    digests = texts.digests(lists["tokens"], ids, lengths.tolist())
    return ActivationColumns(
        indices=indices,
        lines=np.array([number for number, _ in lines], dtype=np.int64),
        starts=starts,
        values=values.astype(np.float32),
        digests=digests,
        context=lambda row: _parsed_context(lists["tokens"][row], ids[row]),
        positions=positions,
        bins=bins,
        dfa=pa.array(dfa, pa.list_(pa.float32())),
        dfa_positions=dfa_positions,
        extra=pa.array(extra, pa.string()),
    )


def _without_lists(lines: Sequence[NumberedLine], texts: ContextTexts) -> tuple[list[Row], dict[str, list[bytes]]]:
    """The rows with _CUT for each of their lists, and the texts of these, by the name of the field; those of values
    without their brackets."""
    first, rows = lines[0][1], list[Row]()
    # with the space that Python writes, or without
    patterns = {f'"{name}":{space}['.encode(): name for name in _LISTS for space in ("", " ")}
    in_order = sorted(filter(first.__contains__, patterns), key=first.find)
    lists = {patterns[pattern]: list[bytes]() for pattern in in_order}
    _expect(len(lists) == len(in_order) and lists.keys() >= {"tokens", "values"})
    fields = [(pattern, len(pattern) - 1, patterns[pattern]) for pattern in in_order]
    for _, line in lines:
        parts, end = [], 0
        for pattern, shift, name in fields:
            # every line has its lists in the order of the first one
            start = line.find(pattern, end) + shift
            if start < shift:
                raise _GroupRefusedError
            parts += line[end:start], _STAND_IN
            if name == "tokens":
                text = texts.tokens(line, start)
                end = start + len(text)
            elif name == "values":
                end = line.find(b"]", start) + 1
                text = line[start + 1 : end - 1]
            else:
                end = line.find(b"]", start) + 1
                text = line[start:end]
            lists[name].append(text)
        parts.append(line[end:])
        rows.append(orjson.loads(b"".join(parts)))
    _expect(set(map(type, rows)) == {dict})
    for name in _LISTS:
        # the list was one of the row, and not of an object in it
        _expect_only(rows, name, _CUT if name in lists else None)
    return rows, lists


def _sparse_numbers(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (float64) of lists with these texts, which have no brackets, and how many each has (int64).

    Nearly all are 0, which is found by its text; the others are parsed together.
    """
    text = b",".join(texts)
    has_spaces = b", " in text
    if has_spaces:
        text = text.replace(b", ", b",")
    # each number between two commas; one that is missing has no text, and is refused by the parser
    characters = np.frombuffer(b"   ," + text + b",", dtype=np.uint8)
    commas, zeros = characters == _COMMA, characters[:-1] == _ZERO
    is_zero = np.zeros(len(characters), dtype=bool)
    is_zero[2:] = zeros[1:] & commas[:-2]
    is_zero[4:] |= zeros[3:] & (characters[2:-2] == _POINT) & zeros[1:-2] & commas[:-4]
    ends = np.flatnonzero(commas)
    first, ends = ends[0], ends[1:]
    active = np.flatnonzero(~is_zero[ends])
    starts = np.where(active, ends[active - 1], first) + 1
    # with the comma behind each
    sizes = ends[active] + 1 - starts
    places = np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    parsed = orjson.loads(b"[" + characters[places].tobytes()[:-1] + b"]")
    _expect(len(parsed) == len(active) and set(map(type, parsed)) <= {int, float})
    values = np.zeros(len(ends))
    values[active] = array("d", parsed)
    _expect(max(values.max(), -values.min()) <= FLOAT32_MAX)
    if has_spaces:
        return values, np.array([own.count(b",") + 1 for own in texts], dtype=np.int64)
    last_commas = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1) + first
    return values, np.diff(np.searchsorted(ends, last_commas, side="right"), prepend=0)


def _column(rows: Sequence[Row], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]


def _expect_only(rows: Sequence[Row], name: str, *values: object) -> None:
    column = _column(rows, name)
    _expect(sum(map(column.count, values)) == len(column))


def _indices(rows: Sequence[Row]) -> np.ndarray:
    column = _column(rows, "index")
    _expect(set(map(type, column)) in ({str}, {int}))
    found = {value: feature_index({"index": value}) for value in set(column)}
    return np.array([found[value] for value in column], dtype=np.int64)


def _integers(rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers (int64), 0 where they are missing or null, and where they are not."""
    column = _column(rows, name)
    _expect(set(map(type, column)) <= {int, type(None)})
    stated = np.array([value is not None for value in column])
    return np.array([value or 0 for value in column], dtype=np.int64), stated


def _positions(rows: Sequence[Row], values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The position that each row was selected for: as it says, or that of its largest value."""
    selected, is_selected = _integers(rows, "qualifyingTokenIndex")
    largest, is_stated = _integers(rows, "maxValueTokenIndex")
    positions = np.where(is_selected, selected, largest)
    if not (is_selected | is_stated).all():
        maxima = np.repeat(np.maximum.reduceat(values, starts[:-1]), np.diff(starts))
        places = np.flatnonzero(values == maxima)
        _, first = np.unique(np.searchsorted(starts, places, side="right"), return_index=True)
        positions = np.where(is_selected | is_stated, positions, places[first] - starts[:-1])
    _expect(((positions >= 0) & (positions < np.diff(starts))).all())
    return positions


def _numbers(rows: Sequence[Row], name: str) -> np.ndarray:
    """Numbers (float64), NaN where they are missing or null."""
    column = _column(rows, name)
    _expect(set(map(type, column)) <= _NUMBER_TYPES)
    return np.frombuffer(array("d", [np.nan if value is None else value for value in column]))


def _bins(rows: Sequence[Row]) -> np.ndarray:
    """Ends and share of each row's interval (N, 3) float32; NaN for a strongest example."""
    low, high, share = (_numbers(rows, name) for name in ("binMin", "binMax", "binContains"))
    top = np.isnan(low) | (low == TOP_BIN) | np.isnan(high) | (share == TOP_BIN)
    share = np.nan_to_num(share)
    bins = np.stack([low, high, share], axis=1)
    valid = (np.abs(bins) <= FLOAT32_MAX).all(axis=1) & (low <= high) & (share >= 0) & (share <= 1)
    _expect((valid | top).all())
    bins[top] = np.nan
    return bins.astype(np.float32)


def _dfa(rows: Sequence[Row], lengths: np.ndarray) -> tuple[list[list[float]], np.ndarray]:
    """Attributions of each row, and the positions (int64) that they are of."""
    nowhere = np.full(len(rows), NO_POSITION, dtype=np.int64)
    if not any(_column(rows, "dfaValues")):
        return [[] for _ in rows], nowhere
    dfa = [numbers(row, "dfaValues") for row in rows]
    own = np.array([len(values) for values in dfa], dtype=np.int64)
    _expect(((own == 0) | (own == lengths)).all())
    targets, is_stated = _integers(rows, "dfaTargetIndex")
    is_stated &= own > 0
    _expect(((targets >= 0) & (targets < lengths) | ~is_stated).all())
    return dfa, np.where(is_stated, targets, nowhere)


def _extra(rows: Sequence[Row]) -> list[str]:
    """Fields without a column, as JSON."""
    names = _names(rows) - FIELDS_WITH_COLUMN
    empty = (None, [])
    return [
        extra_json(row, FIELDS_WITH_COLUMN) if any(row.get(name) not in empty for name in names) else "" for row in rows
    ]


def _names(rows: Iterable[Row]) -> set[Any]:
    names: set[Any] = set()
    for row in rows:
        names.update(row)
    return names
