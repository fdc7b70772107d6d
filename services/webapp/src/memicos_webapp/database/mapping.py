"""Rows of statements (`Result.mappings()`) as dataclasses, by the names of their columns."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _fields(cls: Any) -> tuple[tuple[str, bool], ...]:
    """(name, has a default) of each field."""
    return tuple((field.name, field.default is not MISSING) for field in fields(cls))


def from_row(cls: type[T], row: Mapping[Any, Any]) -> T:
    """The dataclass `cls` filled from the columns of `row` that have its fields' names.

    Columns without a field are ignored; a field with a default may lack its column.

    Raises:
        KeyError: the row has no column of a field without a default.
    """
    return cls(**{name: row[name] for name, optional in _fields(cls) if not optional or name in row})
