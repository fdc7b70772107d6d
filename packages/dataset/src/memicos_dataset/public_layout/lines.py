"""Lines of batch files, streamed, and rows that are refused."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
from isal import igzip_threaded, isal_zlib

from memicos_dataset.errors import DatasetError, LineError
from memicos_dataset.folder import COPY_BYTES, Folder

LINE_BYTES = 8 << 20
"""Longest line. A row of the layout has some kilobytes, one of the longest context some 100 bytes for each of its
32,767 tokens. Parsing takes up to 35 bytes of memory for each byte of a line, which empty lists need."""

Row = dict[str, Any]
NumberedLine = tuple[int, bytes]
"""Number, from 1, and content."""

_READ_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, cast(type[Exception], isal_zlib.error))


def lines(folder: Folder, path: str, longest: int = LINE_BYTES) -> Iterator[NumberedLine]:
    """Each line, as `line_groups` reads them."""
    for group in line_groups(folder, path, longest):
        yield from group


def line_groups(folder: Folder, path: str, longest: int = LINE_BYTES) -> Iterator[list[NumberedLine]]:
    """Lines that are not empty, some COPY_BYTES at once. At most `longest` bytes more are in memory.

    Raises:
        DatasetError: the file cannot be read, is damaged, ends early, or has a longer line.
    """
    location = folder.locate(path)
    number, parts, length = 1, [], 0
    try:
        for block in _blocks(folder, path):
            first, *others = block.split(b"\n")
            parts.append(first)
            length += len(first)
            if length > longest:
                raise DatasetError(location, f"line {number} is longer than {longest} bytes; a row has some kilobytes")
            if not others:
                continue
            last = others.pop()
            if group := _not_empty([b"".join(parts), *others], number):
                yield group
            number += 1 + len(others)
            parts, length = [last], len(last)
    except FileNotFoundError as error:
        raise DatasetError(location, "no such file") from error
    except _READ_ERRORS as error:
        raise DatasetError(
            location, f"cannot be read after line {number - 1} ({error}); fetch the file again"
        ) from error
    if group := _not_empty([b"".join(parts)], number):
        yield group


def _not_empty(lines_of_block: list[bytes], first: int) -> list[NumberedLine]:
    return [(number, line) for number, line in enumerate(lines_of_block, first) if line and not line.isspace()]


def _blocks(folder: Folder, path: str) -> Iterator[bytes]:
    with folder.open(path) as file:
        if path.endswith(".gz"):
            # reads and decompresses in a thread, while the caller works on the block before
            with cast(BinaryIO, igzip_threaded.open(file, "rb", block_size=COPY_BYTES)) as decompressed:
                while block := decompressed.read(COPY_BYTES):
                    yield block
        else:
            while block := file.read(COPY_BYTES):
                yield block


def parse(line: bytes) -> Row:
    """The JSON object of a line.

    Raises:
        ValueError: the line has none.
    """
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        # accepts NaN, so that the column can be named
        row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"begins with {line[:20].decode(errors='replace')!r}")
    return row


class Rejects:
    """Rows that are left out. The one after `limit` of them ends the conversion. `record` is called with each."""

    def __init__(
        self, limit: int, report: Callable[[str], object], record: Callable[[LineError], object] | None = None
    ) -> None:
        self.count = 0
        self._limit, self._report, self._record = limit, report, record

    def add(self, error: LineError) -> None:
        """Leave out a row.

        Raises:
            LineError: it is one too many.
        """
        if self._record:
            self._record(error)
        if self.count >= self._limit:
            raise error
        self.count += 1
        self._report(f"left out: {error}")


def parsed(location: Path | str, numbered_lines: Iterable[NumberedLine], rejects: Rejects) -> Iterator[tuple[int, Row]]:
    """Line number and object of each line; lines without one are rejected."""
    for number, line in numbered_lines:
        try:
            yield number, parse(line)
        except (ValueError, RecursionError) as error:
            rejects.add(LineError(location, number, "", f"is not a JSON object ({error})"))
