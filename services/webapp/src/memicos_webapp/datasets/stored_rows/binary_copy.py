"""Rows in the binary format of PostgreSQL's COPY, from the columns of a batch.

A field is the length of its value in 4 bytes, and the value. Digests of rows are of the same fields (`row_digests`).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
"""Signature, flags, and the length of an extension, which there is none of."""
TRAILER = struct.pack(">h", -1)
NULL = struct.pack(">i", -1)
_TEXT = 25
"""Oid of the type text."""


@dataclass(frozen=True)
class NumberType:
    """A type of numbers: PostgreSQL's oid, the bytes that it sends, and its function that sends one."""

    oid: int
    dtype: str
    send: str

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize


INT2 = NumberType(21, ">i2", "int2send")
INT4 = NumberType(23, ">i4", "int4send")
INT8 = NumberType(20, ">i8", "int8send")
REAL = NumberType(700, ">f4", "float4send")
DOUBLE = NumberType(701, ">f8", "float8send")


@dataclass(frozen=True)
class Chunk:
    """Some rows of a COPY. `rows`: how many of the file they stand for."""

    rows: int
    content: bytes


def storable(text: str) -> str:
    """Text with NUL characters, which PostgreSQL cannot store, replaced by their sign; byte-level tokens have them."""
    return text.replace("\0", "␀")


def joined(columns: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The fields of each row one after the other, from the fields of each column."""
    return [b"".join(row) for row in zip(*columns, strict=True)]


def chunk(rows: Sequence[bytes], columns: int, first: Sequence[bytes] = (), read: int | None = None) -> Chunk:
    """Rows of `columns` fields each: the fields `first`, which all rows have in common, and then those of `rows`.
    `read`: the rows of the file, where some of them make no row."""
    head = struct.pack(">h", columns) + b"".join(first)
    return Chunk(len(rows) if read is None else read, head + head.join(rows) if rows else b"")


def number(value: int, kind: NumberType) -> bytes:
    """The field of a number."""
    return struct.pack(">i", kind.size) + np.array(value, kind.dtype).tobytes()


def numbers(values: np.ndarray, kind: NumberType) -> list[bytes]:
    """The field of each number of `values` (R,)."""
    items, size = _items(values, kind), kind.size + 4
    return [items[start : start + size] for start in range(0, len(items), size)]


def values(contents: Iterable[bytes]) -> list[bytes]:
    """The fields of values that are bytes already."""
    length = struct.Struct(">i").pack
    return [length(len(content)) + content for content in contents]


def texts(strings: Iterable[str | None]) -> list[bytes]:
    """The fields of texts, of which None is null."""
    length = struct.Struct(">i").pack
    encoded = (string if string is None else string.encode() for string in strings)
    return [NULL if content is None else length(len(content)) + content for content in encoded]


def arrays(offsets: np.ndarray, values: np.ndarray, kind: NumberType) -> list[bytes]:
    """The field of each array `values[offsets[i]:offsets[i + 1]]`. `offsets` (R + 1,), `values` (V,)."""
    size, start = kind.size + 4, int(offsets[0])
    items = _items(values[start : offsets[-1]], kind)
    heads = {count: array_head(kind.oid, count, count * size) for count in set(np.diff(offsets).tolist())}
    bounds = pairwise((offsets - start).tolist())
    return [heads[end - start] + items[start * size : end * size] for start, end in bounds]


def nullable_numbers(column: pa.Array, kind: NumberType) -> list[bytes]:
    """The field of each number of a column, of which some may be null."""
    fields = numbers(column.fill_null(0).to_numpy(zero_copy_only=False), kind)
    return [field if valid else NULL for field, valid in zip(fields, column.is_valid().to_pylist(), strict=True)]


def nullable_arrays(column: pa.ListArray, kind: NumberType) -> list[bytes]:
    """The field of each list of numbers of a column, of which some may be null."""
    fields = arrays(column.offsets.to_numpy(), column.values.fill_null(0).to_numpy(zero_copy_only=False), kind)
    if not column.values.null_count:
        return fields
    for row, own in enumerate(column):
        if own.values.null_count:
            items = b"".join(nullable_numbers(own.values, kind))
            fields[row] = array_head(kind.oid, len(own), len(items), has_nulls=True) + items
    return fields


def jsonb(contents: Iterable[str | None]) -> list[bytes]:
    """The fields of JSON texts, of which None is null, for columns of type jsonb."""
    version = b"\1"
    return [NULL if content is None else values([version + content.encode()])[0] for content in contents]


def array_head(oid: int, count: int, size: int, has_nulls: bool = False) -> bytes:
    """What comes before the `count` entries of an array, which take `size` bytes: length, dimensions, has nulls, type,
    entries, number of the first."""
    if not count:
        return struct.pack(">iiii", 12, 0, 0, oid)
    return struct.pack(">iiiiii", 20 + size, 1, has_nulls, oid, count, 1)


def text_item(text: str) -> bytes:
    """A text as an entry of an array."""
    content = text.encode()
    return struct.pack(">i", len(content)) + content


def text_array_head(count: int, size: int) -> bytes:
    """What comes before the `count` entries, of `size` bytes, of an array of texts."""
    return array_head(_TEXT, count, size)


def _items(values: np.ndarray, kind: NumberType) -> bytes:
    """Each number of `values`, with its length before it."""
    items = np.empty(len(values), dtype=[("bytes", ">i4"), ("value", kind.dtype)])
    items["bytes"], items["value"] = kind.size, values
    return items.tobytes()
