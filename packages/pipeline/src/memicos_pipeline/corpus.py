"""A corpus: documents with their collections, cut into token windows."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


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

    Raises:
        CorpusError: a line is not such an object.
    """
    documents = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                documents.append(Document(row["title"], row["collection"], row["text"]))
            except (ValueError, KeyError, TypeError) as error:
                raise CorpusError(f"{path}:{number}: expected title, collection and text ({error})") from error
    if not documents:
        raise CorpusError(f"{path}: no documents")
    return documents


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
