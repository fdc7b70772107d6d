"""A large answer's JSON, made in parts: between two of them other threads, and other requests, get their turn.

One call of the serialiser holds Python's lock until it is through, a second for an answer of a hundred megabytes.
"""

import time
from collections.abc import Generator, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

CHUNK_VALUES = 20_000
"""Numbers and strings that are serialised in one call, at most; about 4 ms."""
TURN_SECONDS = 0.02
"""Seconds after which others have their turn."""


def json_in_chunks(answer: BaseModel) -> Generator[None, Any, bytes]:
    """The answer's JSON, as `model_dump_json(by_alias=True)` gives it; yields when it is others' turn."""
    made = []
    begun = time.monotonic()
    for part in _parts(answer):
        made.append(part)
        if time.monotonic() - begun > TURN_SECONDS:
            yield None
            begun = time.monotonic()
    return b"".join(made)


def _parts(value: Any) -> Iterator[bytes]:
    if _size(value) <= CHUNK_VALUES:
        yield _json(value)
    elif isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        named = [(field.serialization_alias or field.alias or name, getattr(value, name)) for name, field in fields]
        yield from _members(named)
    elif isinstance(value, dict):
        yield from _members(list(value.items()))
    else:
        yield from _items(value)


def _members(pairs: list[tuple[str, Any]]) -> Iterator[bytes]:
    for number, (name, value) in enumerate(pairs):
        yield (b"," if number else b"{") + _json(name) + b":"
        yield from _parts(value)
    yield b"}"


def _items(values: list[Any]) -> Iterator[bytes]:
    """As many at a time as are PART together."""
    opening = b"["
    group: list[Any] = []
    size = 0
    for value in values:
        here = _size(value)
        if group and size + here > CHUNK_VALUES:
            yield opening + _json(group)[1:-1]
            opening, group, size = b",", [], 0
        if here > CHUNK_VALUES:
            yield opening
            yield from _parts(value)
            opening = b","
        else:
            group.append(value)
            size += here
    if group:
        yield opening + _json(group)[1:-1]
    yield b"]"


def _size(value: Any) -> int:
    """Numbers and strings in it; of a list of tuples the first stands for all."""
    if isinstance(value, BaseModel):
        return sum(_size(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, dict):
        return sum(1 + _size(one) for one in value.values())
    if not isinstance(value, list | tuple) or not value:
        return 1
    if isinstance(value[0], tuple):
        return len(value) * len(value[0])
    if isinstance(value[0], BaseModel | dict | list):
        return sum(_size(one) for one in value)
    return len(value)


def _json(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="null")
