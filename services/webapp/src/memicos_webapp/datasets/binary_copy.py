"""Rows in the binary format of PostgreSQL's COPY, from the columns of a batch.

The fields are those of which `row_digests` makes digests: numbers and arrays of numbers are made once for both.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def item(text: str) -> bytes:
    """A text as an entry of an array."""
    content = text.encode()
    return struct.pack(">i", len(content)) + content


class Items(dict[str, bytes]):
    """Entries of arrays by their texts; each is made once."""

    def __missing__(self, text: str) -> bytes:
        value = self[text] = item(text)
        return value


def text_arrays(rows: Iterable[Sequence[str]], items: Mapping[str, bytes]) -> Iterator[bytes]:
    """Each array of texts as PostgreSQL receives it."""
    header = struct.Struct(">iiiii").pack
    for row in rows:
        yield header(1, 0, _TEXT, len(row), 1) + b"".join([items[text] for text in row]) if row else _EMPTY
