"""Rules for columns of a dataset's rows, which `checks` puts together."""

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from memicos_dataset.read import Batch

SMALL = 1 << 20
"""Integers below are looked up in a table (1 MiB), others by bisection, which takes several times as long."""


def check_no_nulls(batch: Batch) -> None:
    """Listed columns only: what a null in an unknown column means is not known."""
    for column in batch.table.columns:
        name = column.name
        if column.nullable or name not in batch.rows.schema.names:
            continue
        levels = [batch.rows.column(name)]
        while True:
            array = levels[-1]
            if array.null_count and not (column.null_entries and len(levels) > 1):
                owners = _owners(levels[:-1], len(batch.rows))
                row = int(owners[np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0]])
                raise batch.error(row, name, "has a null")
            if not pa.types.is_list(array.type):
                break
            levels.append(array.flatten())


def check_finite(batch: Batch) -> None:
    """Listed columns only, as for nulls."""
    for name in batch.table.known.names:
        if name not in batch.rows.schema.names:
            continue
        levels = [batch.rows.column(name)]
        while pa.types.is_list(levels[-1].type):
            levels.append(levels[-1].flatten())
        if not pa.types.is_floating(levels[-1].type):
            continue
        values = numpy(levels[-1].fill_null(0))
        finite = np.isfinite(values)
        if not finite.all():
            refuse(batch, name, _owners(levels[:-1], len(batch.rows)), values, ~finite, "is not a finite number")


def _owners(lists: Sequence[pa.ListArray], rows: int) -> np.ndarray:
    """The row of each entry of the innermost of `lists`, each of which has the entries of the one before; without any,
    of each of the `rows` rows. Found only where there is an error."""
    owners = np.arange(rows)
    for array in lists:
        # offsets of a null row are equal, so that its entries are none
        owners = np.repeat(owners, np.diff(array.offsets.to_numpy()))
    return owners


def check_unique(batch: Batch, column: str, seen: set[int]) -> None:
    """Add the values to `seen`, or none of them where one occurs twice."""
    values = numpy(batch.rows.column(column)).tolist()
    new = set(values)
    if len(new) == len(values) and seen.isdisjoint(new):
        seen |= new
        return
    before: set[int] = set()
    for row, value in enumerate(values):
        if value in seen or value in before:
            raise batch.error(row, column, f"{value} occurs twice")
        before.add(value)


class Members:
    """Integers, which may become more, of which many others are tested at once whether they are among them."""

    def __init__(self, allowed: Collection[int]) -> None:
        self._allowed = allowed
        self._sorted = np.empty(0, np.int64)
        self._table: np.ndarray | None = None

    def lacks(self, values: np.ndarray) -> np.ndarray:
        """Which of `values` (V,) are not among them."""
        if len(self._sorted) != len(self._allowed):
            self._sort()
        if self._table is None:
            return ~np.isin(values, self._sorted)
        beyond = (values < 0) | (values >= len(self._table))
        return beyond | ~self._table[np.where(beyond, 0, values)]

    def _sort(self) -> None:
        self._sorted = np.sort(np.fromiter(self._allowed, np.int64, len(self._allowed)))
        self._table = None
        if self._sorted[0] >= 0 and self._sorted[-1] < SMALL:
            table = np.zeros(self._sorted[-1] + 1, dtype=bool)
            table[self._sorted] = True
            self._table = table


def check_members(batch: Batch, column: str, allowed: Members, problem: str) -> None:
    array = batch.rows.column(column)
    values, rows = flat(array) if pa.types.is_list(array.type) else (numpy(array), np.arange(len(array)))
    refuse(batch, column, rows, values, allowed.lacks(values), problem)


def check_equal_lengths(batch: Batch, first: str, second: str, allow_empty: bool = False) -> None:
    lengths = [np.diff(batch.rows.column(name).offsets.to_numpy()) for name in (first, second)]
    unequal = (lengths[0] != lengths[1]) & (lengths[1] > 0 if allow_empty else True)
    for row in np.flatnonzero(unequal)[:1].tolist():
        raise batch.error(row, second, f"has {lengths[1][row]} entries, and {first} has {lengths[0][row]}")


def refuse(batch: Batch, column: str, rows: np.ndarray, values: np.ndarray, invalid: np.ndarray, problem: str) -> None:
    """Raise an error about the first of `values` that is `invalid`; `rows` has the row of each value."""
    for first in np.flatnonzero(invalid)[:1].tolist():
        raise batch.error(int(rows[first]), column, f"{values[first]} {problem}")


def is_number(batch: Batch, column: str) -> bool:
    kind = batch.rows.schema.field(column).type
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def numpy(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)


def flat(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Entries of a column of lists, and the row of each."""
    rows = np.repeat(np.arange(len(column)), np.diff(column.offsets.to_numpy()))
    return column.flatten().to_numpy(zero_copy_only=False), rows
