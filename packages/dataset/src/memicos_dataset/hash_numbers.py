"""Numbers of contexts, explanations and the like by hash, in little memory."""

from collections.abc import Sequence

import numpy as np

HASH_BYTES = 16
_DIGEST = np.dtype(f"S{HASH_BYTES}")


class HashNumbers:
    """Numbers of things by their hashes, in the order in which these occur: sorted runs of growing length, 20 bytes for
    each.

    Runs are merged when the newer one is at least half as long, so that each of n is merged O(log n) times.
    """

    def __init__(self) -> None:
        self.count = 0
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def find_or_add(self, digests: Sequence[bytes]) -> tuple[np.ndarray, list[int]]:
        """Number of each hash (int32), and positions in `digests` of those that are new, in their order."""
        keys = np.array(digests, dtype=_DIGEST)
        unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        numbers = np.full(len(unique), -1, dtype=np.int32)
        for run, run_numbers in self._runs:
            places = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            present = run[places] == unique
            numbers[present] = run_numbers[places[present]]
        missing = np.flatnonzero(numbers < 0)
        in_order = missing[np.argsort(first[missing])]
        numbers[in_order] = np.arange(self.count, self.count + len(in_order), dtype=np.int32)
        self.count += len(in_order)
        if len(missing):
            self._add_run(unique[missing], numbers[missing])
        return numbers[inverse.reshape(-1)], first[in_order].tolist()

    def _add_run(self, digests: np.ndarray, numbers: np.ndarray) -> None:
        self._runs.append((digests, numbers))
        while len(self._runs) > 1 and 2 * len(self._runs[-1][0]) >= len(self._runs[-2][0]):
            newer, older = self._runs.pop(), self._runs.pop()
            keys = np.concatenate([older[0], newer[0]])
            order = np.argsort(keys, kind="stable")
            self._runs.append((keys[order], np.concatenate([older[1], newer[1]])[order]))
