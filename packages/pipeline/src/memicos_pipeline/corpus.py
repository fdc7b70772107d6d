"""A corpus: documents with their collections, cut into token windows."""

import codecs
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
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


ShortTexts = Literal["drop", "pad", "pack"]
PADDING = -1
"""In place of a token id after the end of a context that is shorter than the others."""


@dataclass(frozen=True)
class Contexts:
    """Contexts of a corpus.

    `token_ids` (N, T) int32, with BOS in column 0 if the recipe prepends it, and PADDING after the end of a shorter
    context; `documents` (N,) the number of the document that the context's text begins in.
    """

    token_ids: np.ndarray
    documents: np.ndarray


def read_texts(path: Path, collection: str) -> list[Document]:
    """Read a file of any accepted format as documents of one collection.

    `.txt` is one document; Parquet has a column `text`, JSON Lines an object with `text` in each line; both may have
    `title`. A name that ends in `.gz` or `.zst` is decompressed.

    Raises:
        CorpusError: the file has another ending, or is not of its format; the message has the row.
    """
    kind = path.name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
    reader = _READERS.get(kind)
    if reader is None:
        raise CorpusError(
            f"{path}: expected a name that ends in .{', .'.join(_READERS)}, or in one of them and .gz or .zst"
        )
    try:
        rows = list(reader(_decompressed(path), path.name))
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read as .{kind} ({error})") from error
    documents = []
    for number, row in enumerate(rows, 1):
        title = row.get("title") or f"{path.name} {number}"
        documents.append(_document_of({**row, "title": title, "collection": collection}, f"{path}:{number}"))
    if not documents:
        raise CorpusError(f"{path}: no documents")
    return documents


def _decompressed(path: Path) -> bytes:
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    if codec is None:
        return path.read_bytes()
    with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, codec) as stream:
        return stream.read()


def _text_rows(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    yield {"title": name.partition(".")[0], "text": content.removeprefix(codecs.BOM_UTF8).decode("utf-8")}


def _json_rows(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(content.removeprefix(codecs.BOM_UTF8).rstrip().splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CorpusError(f"{name}:{number}: expected an object with text as JSON ({error})") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{name}:{number}: expected an object with text")
        yield row


def _parquet_rows(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    file = pq.ParquetFile(pa.BufferReader(content))
    columns = [column for column in ("title", "text") if column in file.schema_arrow.names]
    if "text" not in columns:
        raise CorpusError(f"{name}: has no column text, only {', '.join(file.schema_arrow.names)}")
    for batch in file.iter_batches(columns=columns):
        yield from batch.to_pylist()


_READERS = {"jsonl": _json_rows, "txt": _text_rows, "parquet": _parquet_rows}
"""The reader of each ending: gives rows with `text` and maybe `title`."""


def read_documents(path: Path) -> list[Document]:
    """Read documents from a JSON Lines file with `title`, `collection` and `text` in each line.

    The file is UTF-8 with or without a byte order mark. Blank lines at its end are skipped.

    Raises:
        CorpusError: a line is not such an object; the message has its number.
    """
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).rstrip().splitlines()
    if not lines:
        raise CorpusError(f"{path}: no documents")
    return [_document(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _document(line: bytes, location: str) -> Document:
    try:
        row = json.loads(line)
    except ValueError as error:  # UnicodeDecodeError included
        raise CorpusError(f"{location}: expected title, collection and text as JSON ({error})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"{location}: expected an object with title, collection and text")
    return _document_of(row, location)


def _document_of(row: dict[str, Any], location: str) -> Document:
    for name in ("title", "collection", "text"):
        if name not in row:
            raise CorpusError(f"{location}: {name} is missing")
        value = row[name]
        if not isinstance(value, str):
            raise CorpusError(f"{location}: {name} is {json.dumps(value)[:80]}; expected a string")
        if unpaired := _SURROGATE.search(value):
            raise CorpusError(
                f"{location}: {name} has an unpaired surrogate, \\u{ord(unpaired[0]):04x}, at character "
                f"{unpaired.start()}, which is not a character"
            )
    return Document(row["title"], row["collection"], row["text"])


def cut_contexts(
    documents: list[Document],
    encode: Callable[[str], list[int]],
    bos: int | None,
    context_size: int,
    budgets: dict[str, int],
    seed: int = 0,
    short_texts: ShortTexts = "drop",
    separator: int | None = None,
    at_most: bool = False,
) -> Contexts:
    """Cut documents into windows of `context_size` tokens (BOS included) and draw `budgets[collection]` of each.

    A window lies within one document, and the rest of a document that does not fill a window is dropped, or with
    `pad` a shorter window. With `pack` the documents of a collection are one text, with the token `separator` between
    two of them; a window may then hold the end of one document and others, and what does not fill the last window is
    dropped. A window whose tokens occurred before is dropped. The draw depends on `seed` alone; windows keep the order
    of the documents. With `at_most` a collection may have fewer windows than its budget.

    Raises:
        CorpusError: a collection has no budget, or fewer windows than its budget, or none.
    """
    width = context_size - (bos is not None)
    for document in documents:
        if document.collection not in budgets:
            raise CorpusError(f"{document.title}: no budget of contexts for collection {document.collection!r}")
    texts = ((number, document.collection, encode(document.text)) for number, document in enumerate(documents))
    cut = _pack(texts, width, separator) if short_texts == "pack" else _cut(texts, width)
    seen: set[tuple[int, ...]] = set()
    windows: dict[str, list[tuple[int, list[int]]]] = {name: [] for name in budgets}
    for number, collection, window in cut:
        if (len(window) == width or short_texts == "pad") and tuple(window) not in seen:
            seen.add(tuple(window))
            windows[collection].append((number, window))
    generator = random.Random(seed)
    drawn: list[tuple[int, list[int]]] = []
    for name, budget in budgets.items():
        candidates = windows[name]
        if at_most and candidates:
            budget = min(budget, len(candidates))
        if len(candidates) < budget:
            raise CorpusError(
                f"{name}: has {len(candidates)} windows of {width} tokens, fewer than contexts = {budget}"
                + ('; `short_texts = "pad"` or `"pack"` uses shorter texts too' if short_texts == "drop" else "")
            )
        drawn += [candidates[i] for i in sorted(generator.sample(range(len(candidates)), budget))]
    prefix = [] if bos is None else [bos]
    return Contexts(
        token_ids=np.array(
            [[*prefix, *window, *[PADDING] * (width - len(window))] for _, window in drawn], dtype=np.int32
        ),
        documents=np.array([number for number, _ in drawn], dtype=np.int32),
    )


_Tokens = tuple[int, str, list[int]]
"""Number of a document, its collection, and tokens."""


def _cut(texts: Iterable[_Tokens], width: int) -> Iterator[_Tokens]:
    """Each document's windows of `width` tokens; the last one may be shorter."""
    for number, collection, ids in texts:
        for start in range(0, len(ids), width):
            yield number, collection, ids[start : start + width]


def _pack(texts: Iterable[_Tokens], width: int, separator: int | None) -> Iterator[_Tokens]:
    """Windows of `width` tokens of the joined documents of each collection; what does not fill the last is left out.

    The number is that of the document of the window's first token, or of the one after it if that is a separator.
    """
    open_windows: dict[str, list[tuple[int, int]]] = {}
    for number, collection, ids in texts:
        if not ids:
            continue
        first = collection not in open_windows
        window = open_windows.setdefault(collection, [])
        window += [(number, token) for token in ([] if first or separator is None else [separator])]
        window += [(number, token) for token in ids]
        while len(window) >= width:
            yield window[0][0], collection, [token for _, token in window[:width]]
            del window[:width]
