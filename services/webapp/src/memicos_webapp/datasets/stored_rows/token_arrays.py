"""Arrays of the strings of tokens, from the ids of the tokens: made for whole batches, not token by token."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa

from memicos_webapp.datasets.stored_rows.binary_copy import text_array_head, text_item

SMALL_IDS = 1 << 20
"""Ids below are looked up in a table (8 MiB), others by bisection, which takes several times as long."""


class TokenArrays:
    """Makes arrays of the strings of a vocabulary, whose ids every list that is given must be of."""

    def __init__(self, tokens: Mapping[int, str]) -> None:
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

    def texts(self, start: int, count: int) -> list[bytes]:
        """The fields of `count` strings of the vocabulary, in its order from number `start`."""
        return self._items.slice(start, count).to_pylist()

    def fields(self, token_ids: pa.ListArray) -> list[bytes]:
        """The strings of each list of ids, as the vocabulary has them: fields of COPY."""
        offsets = token_ids.offsets.to_numpy()
        bounds = offsets - offsets[0]
        items, ends = _concatenated(self._items, self._numbers(token_ids.flatten().to_numpy()))
        return [
            text_array_head(last - first, end - start) + items[start:end]
            for (first, last), (start, end) in zip(
                pairwise(bounds.tolist()), pairwise(ends[bounds].tolist()), strict=True
            )
        ]

    def _numbers(self, ids: np.ndarray) -> np.ndarray:
        """The row of the vocabulary of each id."""
        if self._rows is None:
            return self._order[np.searchsorted(self._sorted_ids, ids)]
        return self._rows[ids]


def _concatenated(strings: pa.Array, numbers: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The strings of `numbers` (N,) one after the other, and where the first begins and each ends (N + 1,)."""
    taken = strings.take(pa.array(numbers))
    _, ends, content = taken.buffers()
    offsets = np.frombuffer(ends, dtype=np.int64, count=len(taken) + 1 + taken.offset)[taken.offset :]
    return (content.to_pybytes() if content else b""), offsets
