"""Batches of a run in an SQLite file: each is stored before it is submitted, so that none is submitted twice."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memicos_autointerp_core.providers.answer_cache import CacheError
from memicos_autointerp_core.providers.sqlite_file import open_sqlite


@dataclass(frozen=True)
class OpenBatch:
    """A batch whose answers are not stored yet.

    Attributes:
        name: by which the provider finds it.
        id: the provider's; None: it is not known whether it was submitted.
        model, max_tokens: of its requests.
        most: US dollars that one of its requests can cost at most.
    """

    name: str
    id: str | None
    model: str
    max_tokens: int
    most: float


class StoredBatches:
    """Batches of one work (`state.digest`).

    Raises:
        CacheError: the file cannot be opened, read or written; also by the methods.
    """

    def __init__(self, path: Path, work: str) -> None:
        self._path, self._work = path, work
        try:
            self._connection = open_sqlite(
                path,
                "batches (name TEXT PRIMARY KEY, work TEXT NOT NULL, id TEXT, model TEXT NOT NULL, "
                "max_tokens INTEGER NOT NULL, most REAL NOT NULL) WITHOUT ROWID",
                synchronous="FULL",
            )
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def add(self, batch: OpenBatch) -> None:
        """Store a batch that will be submitted."""
        values = (batch.name, self._work, batch.id, batch.model, batch.max_tokens, batch.most)
        self._execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", values)

    def submitted(self, name: str, batch_id: str) -> None:
        self._execute("UPDATE batches SET id = ? WHERE name = ?", (batch_id, name))

    def remove(self, name: str) -> None:
        """Forget a batch whose answers are stored, or that was never submitted."""
        self._execute("DELETE FROM batches WHERE name = ?", (name,))

    def open(self) -> list[OpenBatch]:
        rows = self._execute(
            "SELECT name, id, model, max_tokens, most FROM batches WHERE work = ? ORDER BY name", (self._work,)
        )
        return [OpenBatch(*row) for row in rows]

    def close(self) -> None:
        self._connection.close()

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> CacheError:
        return CacheError(f"The batches in {self._path} cannot be used: {error}")
