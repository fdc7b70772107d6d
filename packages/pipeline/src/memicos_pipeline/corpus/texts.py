"""A corpus: documents with their collections, read one after another."""

import codecs
import gzip
import io
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

_SURROGATE = re.compile("[\ud800-\udfff]")


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names file, line or collection."""


@dataclass(frozen=True)
class Document:
    title: str
    collection: str
    text: str


TEXT_PIECE_BYTES = 1 << 20
"""A text file is tokenised in pieces of this size, so that its length takes no memory."""
PARQUET_ROWS = 256
"""Rows of a Parquet file that are in memory at once."""


def ending(name: str) -> str:
    """The ending of a file's name that says its format: without that of a compression, and without a dot."""
    return name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]


def stem(name: str) -> str:
    """A file's name without the endings of a corpus's format and of a compression."""
    uncompressed = name.removesuffix(".gz").removesuffix(".zst")
    return uncompressed.removesuffix(f".{ending(name)}") if ending(name) in _READERS else uncompressed


def read_texts(path: Path, collection: str, column: str = "text") -> Iterator[Document]:
    """Read a file of any accepted format as documents of one collection, one after another.

    `.txt` is one document, or one for each TEXT_PIECE_BYTES of a longer file; Parquet and Arrow have a column `column`,
    JSON Lines an object with that key in each line; they may have `title`. A name that ends in `.gz` or `.zst` is
    decompressed.

    Raises:
        CorpusError: the file has another ending, or is not of its format; the message has the row.
    """
    kind = ending(path.name)
    reader = _READERS.get(kind)
    if reader is None:
        raise CorpusError(
            f"{path}: expected a name that ends in .{', .'.join(_READERS)}, or in one of them and .gz or .zst"
        )
    number = 0
    try:
        with _decompressed(path) as file:
            for number, row in enumerate(reader(file, path.name, column), 1):
                title = row.get("title") or f"{path.name} {number}"
                if column != "text":
                    row = {"text": row[column]} if column in row else {}
                yield _document_of({**row, "title": title, "collection": collection}, f"{path}:{number}", column)
    except (pa.ArrowInvalid, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read as .{kind} ({error})") from error
    if not number:
        raise CorpusError(f"{path}: no documents")


@contextmanager
def _decompressed(path: Path) -> Iterator[BinaryIO]:
    """The file's content, decompressed while it is read."""
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            yield cast(BinaryIO, file)
    elif path.suffix == ".zst":
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
            yield io.BufferedReader(cast(Any, stream))
    else:
        with path.open("rb") as file:
            yield file


def _text_rows(file: BinaryIO, name: str, column: str) -> Iterator[dict[str, Any]]:
    """The text in pieces of whole lines: of TEXT_PIECE_BYTES and the rest of a line."""
    title, number = name.partition(".")[0], 0
    piece = file.read(TEXT_PIECE_BYTES).removeprefix(codecs.BOM_UTF8)
    while True:
        if piece:
            piece += file.readline()
        number += 1
        yield {"title": title if number == 1 else f"{title} {number}", column: piece.decode("utf-8")}
        piece = file.read(TEXT_PIECE_BYTES)
        if not piece:
            return


def _json_rows(file: BinaryIO, name: str, column: str) -> Iterator[dict[str, Any]]:
    for number, line in _lines(file):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{name}:{number}: expected an object with {column} as JSON ({error})") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{name}:{number}: expected an object with {column}")
        yield row


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of lines, without a byte order mark and without blank lines at the end."""
    blank: list[int] = []
    for number, line in enumerate(file, 1):
        line = line.rstrip(b"\r\n") if number > 1 else line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
        if not line.strip():
            blank = blank or [number]
            continue
        if blank:
            yield blank[0], b""
        yield number, line


def _parquet_rows(file: BinaryIO, name: str, column: str) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryFile() as copy:
        if not file.seekable() or name.endswith((".gz", ".zst")):
            # Parquet is read at several places
            shutil.copyfileobj(file, copy)
            file = cast(BinaryIO, copy)
        parquet = pq.ParquetFile(file)
        columns = _columns(parquet.schema_arrow, name, column)
        for batch in parquet.iter_batches(batch_size=PARQUET_ROWS, columns=columns):
            yield from batch.to_pylist()


def _arrow_rows(file: BinaryIO, name: str, column: str) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow stream, as the library `datasets` stores them."""
    with pa.ipc.open_stream(file) as stream:
        columns = _columns(stream.schema, name, column)
        for batch in stream:
            for first in range(0, len(batch), PARQUET_ROWS):
                yield from batch.select(columns).slice(first, PARQUET_ROWS).to_pylist()


def _columns(stored: pa.Schema, name: str, column: str) -> list[str]:
    """The columns that are read. Raises CorpusError where the file lacks that of the text."""
    if column not in stored.names:
        raise CorpusError(f"{name}: has no column {column}, only {', '.join(stored.names)}")
    return list(dict.fromkeys(own for own in ("title", column) if own in stored.names))


_READERS = {
    "jsonl": _json_rows,
    "json": _json_rows,
    "parquet": _parquet_rows,
    "arrow": _arrow_rows,
    **dict.fromkeys(("txt", "md", "rst"), _text_rows),
}
"""The reader of each ending: gives rows with the column of the text and maybe `title`."""


def read_documents(path: Path) -> Iterator[Document]:
    """Read documents from a JSON Lines file with `title`, `collection` and `text` in each line, one after another.

    The file is UTF-8 with or without a byte order mark. Blank lines at its end are skipped.

    Raises:
        CorpusError: a line is not such an object; the message has its number.
    """
    number = 0
    with path.open("rb") as file:
        for number, line in _lines(file):
            yield _document(line, f"{path}:{number}")
    if not number:
        raise CorpusError(f"{path}: no documents")


def _document(line: bytes, location: str) -> Document:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError included
        raise CorpusError(f"{location}: expected title, collection and text as JSON ({error})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"{location}: expected an object with title, collection and text")
    return _document_of(row, location)


def _document_of(row: dict[str, Any], location: str, column: str = "text") -> Document:
    for name, shown in (("title", "title"), ("collection", "collection"), ("text", column)):
        if name not in row:
            raise CorpusError(f"{location}: {shown} is missing")
        value = row[name]
        if not isinstance(value, str):
            raise CorpusError(f"{location}: {shown} is {json.dumps(value, default=repr)[:80]}; expected a string")
        if unpaired := _SURROGATE.search(value):
            raise CorpusError(
                f"{location}: {shown} has an unpaired surrogate, \\u{ord(unpaired[0]):04x}, at character "
                f"{unpaired.start()}, which is not a character"
            )
    return Document(row["title"], row["collection"], row["text"])
