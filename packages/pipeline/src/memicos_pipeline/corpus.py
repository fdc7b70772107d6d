"""A corpus: documents with their collections, cut into token windows."""

import codecs
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SURROGATE = re.compile("[\ud800-\udfff]")


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names file, line or collection."""


@dataclass(frozen=True)
class Document:
    title: str
    collection: str
    text: str


@dataclass(frozen=True)
class Contexts:
    """`token_ids` (N, T) int32, with BOS in column 0 if the recipe prepends it; `documents` (N,) document numbers."""

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
                f"{location}: {name} has half a surrogate pair, \\u{ord(unpaired[0]):04x}, at character "
                f"{unpaired.start()}; it stands for no character"
            )
    return Document(row["title"], row["collection"], row["text"])


def cut_contexts(
    documents: list[Document],
    encode: Callable[[str], list[int]],
    bos: int | None,
    context_size: int,
    budgets: dict[str, int],
    seed: int = 0,
) -> Contexts:
    """Cut documents into windows of `context_size` tokens (BOS included) and draw `budgets[collection]` of each.

    A window lies within one document; an incomplete window at a document's end is dropped, and so is a window whose
    tokens occurred before. The draw depends on `seed` alone; windows keep the order of the documents.

    Raises:
        CorpusError: a collection has no budget, or fewer windows than its budget.
    """
    width = context_size - (bos is not None)
    windows: dict[str, list[tuple[int, list[int]]]] = {name: [] for name in budgets}
    seen: set[tuple[int, ...]] = set()
    for number, document in enumerate(documents):
        if document.collection not in windows:
            raise CorpusError(f"{document.title}: no budget of contexts for collection {document.collection!r}")
        ids = encode(document.text)
        for start in range(0, len(ids) - width + 1, width):
            window = ids[start : start + width]
            if tuple(window) not in seen:
                seen.add(tuple(window))
                windows[document.collection].append((number, window))
    generator = random.Random(seed)
    drawn: list[tuple[int, list[int]]] = []
    for name, budget in budgets.items():
        candidates = windows[name]
        if len(candidates) < budget:
            raise CorpusError(
                f"{name}: has {len(candidates)} windows of {width} tokens, fewer than contexts = {budget}"
            )
        drawn += [candidates[i] for i in sorted(generator.sample(range(len(candidates)), budget))]
    prefix = [] if bos is None else [bos]
    return Contexts(
        token_ids=np.array([prefix + window for _, window in drawn], dtype=np.int32),
        documents=np.array([number for number, _ in drawn], dtype=np.int32),
    )
