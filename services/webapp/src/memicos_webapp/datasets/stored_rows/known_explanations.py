"""Explanations that a source has already, in little memory: 33 bytes for each, whatever its text is."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from memicos_dataset.hash_numbers import HASH_BYTES
from memicos_dataset.schema import REQUEST_COLUMNS

Identity = tuple[int, str, str, str | None]
"""What makes explanations of a source equal: index, description, method and model."""
Request = Mapping[str, object]
"""What is known of an explanation's request: REQUEST_COLUMNS, of which `parameters` is JSON."""

_ROW = np.dtype([("key", f"S{HASH_BYTES}"), ("id", np.int64), ("request", np.int64)])


def key_of(index: int, description: str, method: str, model: str | None) -> bytes:
    """The hash of an identity."""
    return blake2b(json.dumps([index, description, method, model]).encode(), digest_size=HASH_BYTES).digest()


def _request_hash(request: Request) -> int:
    parameters = request["parameters"]
    # PostgreSQL does not keep the order of names
    content = {**request, "parameters": json.loads(parameters) if isinstance(parameters, str) else None}
    digest = blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class KnownExplanations:
    """Explanations without an author that a source has."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._rows = np.zeros(0, dtype=_ROW)
        self._is_found = np.zeros(0, dtype=bool)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add explanations: rows with id, index, description, method, model and REQUEST_COLUMNS."""
        self._parts.append(
            np.array(
                [
                    (
                        key_of(row["index"], row["description"], row["method"], row["model"]),
                        row["id"],
                        _request_hash({name: row[name] for name in REQUEST_COLUMNS}),
                    )
                    for row in rows
                ],
                dtype=_ROW,
            )
        )

    def complete(self) -> None:
        """Called when all rows are added, and before `find`."""
        if self._parts:
            self._rows = np.concatenate(self._parts)
            self._rows.sort(order="key")
            self._parts = []
        self._is_found = np.zeros(len(self._rows), dtype=bool)

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """Place (int64) of each explanation, -1 where it is not known; those that are known are noted as found."""
        wanted = np.array(keys, dtype=_ROW["key"])
        if not len(self._rows) or not len(wanted):
            return np.full(len(wanted), -1)
        places = np.minimum(np.searchsorted(self._rows["key"], wanted), len(self._rows) - 1)
        is_known = self._rows["key"][places] == wanted
        self._is_found[places[is_known]] = True
        return np.where(is_known, places, -1)

    def id(self, place: int) -> int:
        return int(self._rows["id"][place])

    def says(self, place: int, request: Request) -> bool:
        """Whether this is what is known of the explanation's request."""
        return int(self._rows["request"][place]) == _request_hash(request)

    def missing(self) -> list[int]:
        """Ids of the explanations that were not found."""
        return self._rows["id"][~self._is_found].tolist()
