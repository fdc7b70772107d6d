"""Rows in the binary format of PostgreSQL's COPY, from the columns of a batch.

The fields are those of which `row_digests` makes digests: numbers and arrays of numbers are made once for both.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
"""Signature, flags, and the length of an extension, which there is none of."""
TRAILER = struct.pack(">h", -1)
_TEXT = 25
"""Oid of the type text."""
_EMPTY = struct.pack(">iii", 0, 0, _TEXT)


@dataclass(frozen=True)
class Chunk:
    """Some rows of a COPY."""

    rows: int
    content: bytes


def chunk(columns: Sequence[Sequence[bytes]]) -> Chunk:
    """Rows whose fields are given by column, in the order of the table's columns."""
    fields = struct.pack(">h", len(columns))
    length = struct.Struct(">i").pack
    parts: list[bytes] = []
    count = 0
    for row in zip(*columns, strict=True):
        count += 1
        parts.append(fields)
        for value in row:
            parts += (length(len(value)), value)
    return Chunk(count, b"".join(parts))


def text_item(text: str) -> bytes:
    """A text as an entry of an array."""
    content = text.encode()
    return struct.pack(">i", len(content)) + content


def text_array_header(count: int) -> bytes:
    """What comes before the `count` entries of an array of texts."""
    return struct.pack(">iiiii", 1, 0, _TEXT, count, 1) if count else _EMPTY


def text_array(texts: Sequence[str]) -> bytes:
    """An array of texts as PostgreSQL receives it."""
    return text_array_header(len(texts)) + b"".join(map(text_item, texts))
