"""JSON of a large response, serialised in chunks, so that other threads and other requests run in between.

One call of the serialiser holds the GIL until it returns: about a second for a response of 100 MB.
"""

import time
from collections.abc import Generator, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

CHUNK_VALUES = 20_000
"""Largest number of numbers and strings that one call serialises; about 4 ms."""
TURN_SECONDS = 0.02
"""Time after which `json_in_chunks` yields."""


def json_in_chunks(response: BaseModel) -> Generator[None, Any, bytes]:
    """The JSON of `response`, equal to `model_dump_json(by_alias=True)`. Yields None every TURN_SECONDS."""
    chunks = []
    start = time.monotonic()
    for chunk in _chunks(response):
        chunks.append(chunk)
        if time.monotonic() - start > TURN_SECONDS:
            yield None
            start = time.monotonic()
    return b"".join(chunks)


def _chunks(value: Any) -> Iterator[bytes]:
    if _size(value) <= CHUNK_VALUES:
        yield _json(value)
    elif isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        pairs = [(field.serialization_alias or field.alias or name, getattr(value, name)) for name, field in fields]
        yield from _members(pairs)
    elif isinstance(value, dict):
        yield from _members(list(value.items()))
    else:
        yield from _items(value)


def _members(pairs: list[tuple[str, Any]]) -> Iterator[bytes]:
    for number, (name, value) in enumerate(pairs):
        yield (b"," if number else b"{") + _json(name) + b":"
        yield from _chunks(value)
    yield b"}"


def _items(values: list[Any]) -> Iterator[bytes]:
    """Items in groups of at most CHUNK_VALUES numbers and strings; a larger item in chunks of its own."""
    opening = b"["
    group: list[Any] = []
    size = 0
    for value in values:
        item_size = _size(value)
        if group and size + item_size > CHUNK_VALUES:
            yield opening + _json(group)[1:-1]
            opening, group, size = b",", [], 0
        if item_size > CHUNK_VALUES:
            yield opening
            yield from _chunks(value)
            opening = b","
        else:
            group.append(value)
            size += item_size
    if group:
        yield opening + _json(group)[1:-1]
    yield b"]"


def _size(value: Any) -> int:
    """Number of numbers and strings in `value`. All tuples of a list are taken to be as long as the first."""
    if isinstance(value, BaseModel):
        return sum(_size(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, dict):
        return sum(1 + _size(item) for item in value.values())
    if not isinstance(value, list | tuple) or not value:
        return 1
    if isinstance(value[0], tuple):
        return len(value) * len(value[0])
    if isinstance(value[0], BaseModel | dict | list):
        return sum(_size(item) for item in value)
    return len(value)


def _json(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="null")
