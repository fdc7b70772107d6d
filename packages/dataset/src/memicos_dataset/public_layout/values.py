"""Checked values of a row. `ValueProblem` says which column is wrong, and why."""

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

LARGEST_INDEX = 2**31 - 1
FLOAT32_MAX = float(np.finfo(np.float32).max)


class ValueProblem(ValueError):
    """A value that cannot be stored."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"{column}: {problem}")
        self.column, self.problem = column, problem


def feature_index(row: Mapping[str, Any]) -> int:
    """The row's index, which is a number or a string of digits."""
    value = row.get("index")
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        value = int(value)
    if type(value) is not int or not 0 <= value <= LARGEST_INDEX:
        raise ValueProblem("index", f"{quoted(value)} is no index from 0 to {LARGEST_INDEX}")
    return value


def check_source(row: Mapping[str, Any], source_id: str) -> None:
    """`layer` has the id of the source, where the row has it."""
    layer = row.get("layer")
    if layer is not None and layer != source_id:
        raise ValueProblem("layer", f"{quoted(layer)} is another source than {source_id!r}")


def number(row: Mapping[str, Any], column: str) -> float | None:
    """A finite number, or None where it is missing or null."""
    value = row.get(column)
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) <= FLOAT32_MAX:
        raise ValueProblem(column, f"{quoted(value)} is no finite number")
    return float(value)


def numbers(row: Mapping[str, Any], column: str) -> list[float]:
    """A list of finite numbers; empty where it is missing or null."""
    value = row.get(column)
    if value is None or value == []:
        return []
    if not isinstance(value, list):
        raise ValueProblem(column, f"{quoted(value)} is no list of numbers")
    try:
        array_of_numbers = np.frombuffer(array("d", value))
    except (TypeError, OverflowError):
        raise ValueProblem(column, "has an entry that is no number") from None
    if not (np.abs(array_of_numbers) <= FLOAT32_MAX).all():
        raise ValueProblem(column, "has an entry that is no finite number")
    return array_of_numbers.tolist()


def integers(row: Mapping[str, Any], column: str) -> list[int]:
    """A list of whole numbers; empty where it is missing or null."""
    values = numbers(row, column)
    if any(value != round(value) or abs(value) > LARGEST_INDEX for value in values):
        raise ValueProblem(column, "has an entry that is no whole number")
    return [round(value) for value in values]


def text(row: Mapping[str, Any], column: str) -> str | None:
    """A string that can be encoded, or None where it is missing or null."""
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueProblem(column, f"{quoted(value)} is no string")
    _check_encodable(column, value)
    return value


def texts(row: Mapping[str, Any], column: str) -> list[str]:
    """A list of strings; empty where it is missing or null."""
    value = row.get(column)
    if value is None:
        return []
    if not isinstance(value, list) or any(type(entry) is not str for entry in value):
        raise ValueProblem(column, f"{quoted(value)} is no list of strings")
    _check_encodable(column, "".join(value))
    return value


def check_lengths(row: Mapping[str, Any], *columns: str) -> None:
    """Lists that belong together have equal lengths; a list that is missing or empty has none."""
    lengths = {column: len(row[column]) for column in columns if isinstance(row.get(column), list) and row[column]}
    for column, length in lengths.items():
        first = next(iter(lengths))
        if length != lengths[first]:
            raise ValueProblem(column, f"has {length} entries, and {first} has {lengths[first]}")


def _check_encodable(column: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueProblem(column, "has half of a surrogate pair, which is no character") from None


def quoted(value: object) -> str:
    """A value as errors show it, shortened."""
    content = repr(value)
    return content if len(content) <= 60 else content[:57] + "..."
