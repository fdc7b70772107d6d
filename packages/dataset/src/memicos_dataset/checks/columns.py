"""Rules for columns of a dataset's rows, which `checks` puts together."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from memicos_dataset.read import Batch


def check_no_nulls(batch: Batch) -> None:
    """Listed columns only: what a null in an unknown column means is not known."""
    for column in batch.table.columns:
        name = column.name
        if column.nullable or name not in batch.rows.schema.names:
            continue
        array, owners, entries = batch.rows.column(name), np.arange(len(batch.rows)), False
        while True:
            if array.null_count and not (column.null_entries and entries):
                row = int(owners[np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0]])
                raise batch.error(row, name, "has a null")
            if not pa.types.is_list(array.type):
                break
            owners = np.repeat(owners, np.diff(array.offsets.to_numpy()))
            array, entries = array.flatten(), True


def check_finite(batch: Batch) -> None:
    """Listed columns only, as for nulls."""
    for name in batch.table.known.names:
        if name not in batch.rows.schema.names:
            continue
        array, owners = batch.rows.column(name), np.arange(len(batch.rows))
        while pa.types.is_list(array.type):
            # offsets of a null row are equal, so that its entries are none
            owners = np.repeat(owners, np.diff(array.offsets.to_numpy()))
            array = array.flatten()
        if pa.types.is_floating(array.type):
            present = array.is_valid().to_numpy(zero_copy_only=False)
            values, owners = array.drop_null().to_numpy(zero_copy_only=False), owners[present]
            refuse(batch, name, owners, values, ~np.isfinite(values), "is not a finite number")


def check_unique(batch: Batch, column: str, seen: set[int]) -> None:
    """Add the values to `seen`, or none of them where one occurs twice."""
    new: set[int] = set()
    for row, value in enumerate(numpy(batch.rows.column(column)).tolist()):
        if value in seen or value in new:
            raise batch.error(row, column, f"{value} occurs twice")
        new.add(value)
    seen |= new


def check_members(batch: Batch, column: str, allowed: Collection[int], problem: str) -> None:
    array = batch.rows.column(column)
    values, rows = flat(array) if pa.types.is_list(array.type) else (numpy(array), np.arange(len(array)))
    # membership is tested value by value: a set of all that is allowed would be made for each batch
    unknown = [value for value in np.unique(values).tolist() if value not in allowed]
    if unknown:
        refuse(batch, column, rows, values, np.isin(values, unknown), problem)


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
