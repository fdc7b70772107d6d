"""Arrays of the strings of tokens, from the ids of the tokens: made for whole batches, not token by token."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from memicos_dataset.token_text import context_strings, has_byte

from memicos_webapp.datasets.stored_rows.binary_copy import text_array, text_array_header, text_item
from memicos_webapp.datasets.stored_rows.row_digests import joined

SMALL_IDS = 1 << 20
"""Ids below are looked up in a table (8 MiB), others by bisection, which takes several times as long."""


@dataclass(frozen=True)
class TextArrays:
    """Arrays of strings, one for each row."""

    fields: list[bytes]
    """As PostgreSQL receives them."""
    digested: list[bytes]
    """As digests are made of them: joined by SEPARATOR."""


class TokenStrings:
    """The strings of a vocabulary, whose ids every list that is given must be of."""

    def __init__(self, tokens: Mapping[int, str]) -> None:
        self._tokens = tokens
        ids = np.fromiter(tokens, np.int64, len(tokens))
        self._order = np.argsort(ids)
        self._sorted_ids = ids[self._order]
        self._rows: np.ndarray | None = None
        if ids.max(initial=0) < SMALL_IDS:
            rows = np.zeros(ids.max(initial=0) + 1, dtype=np.int64)
            rows[ids] = np.arange(len(ids))
            self._rows = rows
        # with offsets of 64 bits, so that no batch is too large
        self._items = pa.array(map(text_item, tokens.values()), pa.large_binary())
        self._separated = pa.array([joined((token, "")) for token in tokens.values()], pa.large_binary())
        self._has_byte = np.fromiter(map(has_byte, tokens.values()), bool, len(tokens))

    def lists(self, token_ids: pa.ListArray) -> TextArrays:
        """The strings of each list of ids, as the vocabulary has them."""
        numbers, bounds = self._numbers(token_ids)
        return self._arrays(numbers, bounds)

    def contexts(self, token_ids: pa.ListArray) -> TextArrays:
        """The strings of each context's tokens, with bytes that are part of a character joined to characters."""
        numbers, bounds = self._numbers(token_ids)
        found = self._arrays(numbers, bounds)
        before = np.concatenate([[0], np.cumsum(self._has_byte[numbers])])
        for row in np.flatnonzero(np.diff(before[bounds])).tolist():
            strings = context_strings([self._tokens[i] for i in token_ids[row].as_py()])
            found.fields[row], found.digested[row] = text_array(strings), joined(strings)
        return found

    def _numbers(self, token_ids: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the vocabulary of all ids, and where each list of them begins and ends."""
        offsets = token_ids.offsets.to_numpy()
        ids = token_ids.flatten().to_numpy()
        rows = self._order[np.searchsorted(self._sorted_ids, ids)] if self._rows is None else self._rows[ids]
        return rows, offsets - offsets[0]

    def _arrays(self, numbers: np.ndarray, bounds: np.ndarray) -> TextArrays:
        items, item_ends = _concatenated(self._items, numbers)
        texts, text_ends = _concatenated(self._separated, numbers)
        fields = [
            text_array_header(last - first) + items[start:end]
            for (first, last), (start, end) in zip(
                pairwise(bounds.tolist()), pairwise(item_ends[bounds].tolist()), strict=True
            )
        ]
        # without the separator after the last string
        digested = [texts[start : max(start, end - 1)] for start, end in pairwise(text_ends[bounds].tolist())]
        return TextArrays(fields, digested)


def _concatenated(strings: pa.Array, numbers: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The strings of `numbers` (N,) one after the other, and where the first begins and each ends (N + 1,)."""
    taken = strings.take(pa.array(numbers))
    _, ends, content = taken.buffers()
    offsets = np.frombuffer(ends, dtype=np.int64, count=len(taken) + 1 + taken.offset)[taken.offset :]
    return (content.to_pybytes() if content else b""), offsets
