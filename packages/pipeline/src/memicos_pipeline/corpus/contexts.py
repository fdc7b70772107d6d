"""The contexts of a corpus: its documents cut into token windows, which are drawn at random.

All windows of the corpus are in a temporary database on disk, and the drawn ones in a temporary file: memory does not
grow with the corpus.
"""

import hashlib
import os
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from memicos_pipeline.corpus.texts import CorpusError, Document

ShortTexts = Literal["drop", "pad", "pack"]
PADDING = -1
"""In place of a token id after the end of a context that is shorter than the others."""
CHUNK_CONTEXTS = 4096
"""Contexts that are in memory at once where all are read."""
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class DocumentName:
    title: str
    collection: str


@dataclass(frozen=True)
class Contexts:
    """Contexts of a corpus.

    `token_ids` (N, T) int32, a file in memory's address space, with BOS in column 0 if the recipe prepends it, and
    PADDING after the end of a shorter context; `documents` (N,) the number of the document that the context's text
    begins in, and `names` of these documents.
    """

    token_ids: np.ndarray
    documents: np.ndarray
    names: dict[int, DocumentName]


def chunks(token_ids: np.ndarray) -> Iterator[np.ndarray]:
    """All contexts (N, T), CHUNK_CONTEXTS at a time."""
    for first in range(0, len(token_ids), CHUNK_CONTEXTS):
        yield token_ids[first : first + CHUNK_CONTEXTS]


def cut_contexts(
    documents: Iterable[Document],
    encode: Callable[[str], list[int]],
    bos: int | None,
    context_size: int,
    budgets: dict[str, int],
    seed: int = 0,
    short_texts: ShortTexts = "drop",
    separator: int | None = None,
    at_most: bool = False,
    folder: Path | None = None,
    on_document: Callable[[int], None] = lambda tokens: None,
) -> Contexts:
    """Cut documents into windows of `context_size` tokens (BOS included) and draw `budgets[collection]` of each.

    A window lies within one document, and the rest of a document that does not fill a window is dropped, or with
    `pad` a shorter window. With `pack` the documents of a collection are one text, with the token `separator` between
    two of them; a window may then hold the end of one document and others, and what does not fill the last window is
    dropped. A window whose tokens occurred before is dropped. The draw depends on `seed` alone; windows keep the order
    of the documents. With `at_most` a collection may have fewer windows than its budget.

    Temporary files are in `folder`, or that of the system. `on_document` is called with each document's tokens.

    Raises:
        CorpusError: a collection has no budget, or fewer windows than its budget, or none.
    """
    width = context_size - (bos is not None)
    with _window_store(folder) as store:

        def texts() -> Iterator[_Tokens]:
            for number, document in enumerate(documents):
                if document.collection not in budgets:
                    raise CorpusError(f"{document.title}: no budget of contexts for collection {document.collection!r}")
                store.add_document(number, document)
                ids = encode(document.text)
                on_document(len(ids))
                yield number, document.collection, ids

        for number, collection, window in (
            _pack(texts(), width, separator) if short_texts == "pack" else _cut(texts(), width)
        ):
            if len(window) == width or short_texts == "pad":
                store.add_window(number, collection, window)
        drawn = {name: store.count(name) for name in budgets}
        generator = random.Random(seed)
        chosen: dict[str, Iterable[int]] = {}
        for name, budget in budgets.items():
            candidates = drawn[name]
            if at_most and candidates:
                budget = min(budget, candidates)
            if candidates < budget:
                raise CorpusError(
                    f"{name}: has {candidates} windows of {width} tokens, fewer than contexts = {budget}"
                    + ('; `short_texts = "pad"` or `"pack"` uses shorter texts too' if short_texts == "drop" else "")
                )
            drawn[name] = budget
            chosen[name] = sorted(generator.sample(range(candidates), budget))
        count = sum(drawn.values())
        with tempfile.TemporaryFile(dir=folder) as file:
            # the array keeps the file, which has no name
            token_ids = np.memmap(file, np.int32, shape=(count, context_size))
        token_ids[:] = PADDING
        numbers = np.empty(count, dtype=np.int32)
        windows = ((number, ids) for name in budgets for number, ids in store.windows(name, chosen[name]))
        start = int(bos is not None)
        for row, (number, ids) in enumerate(windows):
            numbers[row] = number
            if bos is not None:
                token_ids[row, 0] = bos
            token_ids[row, start : start + len(ids)] = ids
        return Contexts(token_ids, numbers, store.names(np.unique(numbers).tolist()))


@contextmanager
def _window_store(folder: Path | None) -> Iterator["_WindowStore"]:
    handle, path = tempfile.mkstemp(dir=folder, prefix="windows-", suffix=".sqlite")
    os.close(handle)
    store = _WindowStore(path)
    # the open file stays usable, and a killed run leaves nothing behind
    Path(path).unlink()
    try:
        yield store
    finally:
        store.close()


class _WindowStore:
    """Windows and names of documents in a database that no other process opens."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path)
        # a killed run cuts its windows again, so nothing has to survive
        for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -65536"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.executescript(
            """CREATE TABLE document (number INTEGER PRIMARY KEY, title TEXT, collection TEXT);
            CREATE TABLE window_of_text (
              id INTEGER PRIMARY KEY, digest BLOB UNIQUE, collection TEXT, document INTEGER, ids BLOB);"""
        )

    def add_document(self, number: int, document: Document) -> None:
        self._connection.execute("INSERT INTO document VALUES (?, ?, ?)", (number, document.title, document.collection))

    def add_window(self, number: int, collection: str, window: list[int]) -> None:
        """Add a window, unless its tokens occurred before."""
        ids = np.array(window, dtype=np.int32).tobytes()
        digest = hashlib.blake2b(ids, digest_size=_DIGEST_BYTES).digest()
        self._connection.execute(
            "INSERT OR IGNORE INTO window_of_text (digest, collection, document, ids) VALUES (?, ?, ?, ?)",
            (digest, collection, number, ids),
        )

    def count(self, collection: str) -> int:
        (count,) = self._connection.execute(
            "SELECT count(*) FROM window_of_text WHERE collection = ?", (collection,)
        ).fetchone()
        return count

    def windows(self, collection: str, chosen: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Document and tokens of the windows of a collection whose ordinal numbers are `chosen`, ascending."""
        remaining = iter(chosen)
        wanted = next(remaining, None)
        rows = self._connection.execute(
            "SELECT document, ids FROM window_of_text WHERE collection = ? ORDER BY id", (collection,)
        )
        for ordinal, (number, ids) in enumerate(rows):
            if ordinal == wanted:
                yield number, np.frombuffer(ids, dtype=np.int32)
                wanted = next(remaining, None)
            if wanted is None:
                return

    def names(self, numbers: Iterable[int]) -> dict[int, DocumentName]:
        find = "SELECT title, collection FROM document WHERE number = ?"
        return {number: DocumentName(*self._connection.execute(find, (number,)).fetchone()) for number in numbers}

    def close(self) -> None:
        self._connection.close()


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
