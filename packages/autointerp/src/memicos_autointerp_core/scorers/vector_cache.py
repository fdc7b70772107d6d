"""Vectors of texts in a SQLite file, by hash of the text: a text is embedded once, also over several runs."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memicos_autointerp_core.scorers.eleuther_embedding import Embed

BATCH_TEXTS = 512
"""Texts that are embedded, and stored, at once."""


class VectorCache:
    """Calls `embed` for texts that the file does not have.

    Args:
        path: the file; it is made where it is missing. One file belongs to one embedder.
        embed: gives the vectors of texts.
        batch: texts of one call of `embed`. What a finished batch gave is stored, whatever happens after it.
    """

    def __init__(self, path: Path, embed: Embed, batch: int = BATCH_TEXTS) -> None:
        self._embed, self._batch = embed, batch
        self._file = sqlite3.connect(path)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("CREATE TABLE IF NOT EXISTS vector (hash BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def close(self) -> None:
        self._file.close()

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (texts, dimensions), in the order of `texts`."""
        await self.fill(texts)
        vectors = [self._find(_hash(text)) for text in texts]
        return np.stack([vector for vector in vectors if vector is not None])

    async def fill(self, texts: Sequence[str]) -> None:
        """Embed those of `texts` that the file does not have."""
        by_hash = {_hash(text): text for text in texts}
        missing = [text for key, text in by_hash.items() if not self._has(key)]
        # texts of similar length together, as a batch is padded to its longest text
        missing.sort(key=len)
        for start in range(0, len(missing), self._batch):
            batch = missing[start : start + self._batch]
            vectors = await self._embed(batch)
            rows = [
                (_hash(text), vector.astype(np.float32).tobytes()) for text, vector in zip(batch, vectors, strict=True)
            ]
            with self._file:
                self._file.executemany("INSERT OR IGNORE INTO vector VALUES (?, ?)", rows)

    def _has(self, key: bytes) -> bool:
        return self._file.execute("SELECT 1 FROM vector WHERE hash = ?", (key,)).fetchone() is not None

    def _find(self, key: bytes) -> NDArray[np.float32] | None:
        row = self._file.execute("SELECT vector FROM vector WHERE hash = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], np.float32)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
