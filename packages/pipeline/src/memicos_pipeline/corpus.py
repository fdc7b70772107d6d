"""A corpus: documents with their collections, cut into token windows."""

import codecs
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

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
) -> Contexts:
    """Cut documents into windows of `context_size` tokens (BOS included) and draw `budgets[collection]` of each.

    A window lies within one document, and the rest of a document that does not fill a window is dropped, or with
    `pad` a shorter window. With `pack` the documents of a collection are one text, with the token `separator` between
    two of them; a window may then hold the end of one document and others, and what does not fill the last window is
    dropped. A window whose tokens occurred before is dropped. The draw depends on `seed` alone; windows keep the order
    of the documents.

    Raises:
        CorpusError: a collection has no budget, or fewer windows than its budget.
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
