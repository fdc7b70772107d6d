"""Batches whose answers are not stored yet: each is stored before it is submitted, so that none is submitted twice.

This module does not import the openai library.
"""

import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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


class BatchStore(Protocol):
    """The open batches of one work. What a method has stored outlives a kill of the process, once it returns."""

    async def add(self, batch: OpenBatch, requests: Collection[str]) -> None:
        """Store a batch that will be submitted, and the hashes of its requests."""
        ...

    async def submitted(self, name: str, batch_id: str) -> None: ...

    async def remove(self, name: str) -> None:
        """Forget a batch whose answers are stored, or that was never submitted."""
        ...

    async def open(self) -> list[OpenBatch]: ...

    async def requests(self, name: str) -> set[str]:
        """Hashes of the requests of a batch."""
        ...

    async def note_answer(self, name: str) -> None:
        """Note that the provider said how a batch is."""
        ...

    async def seconds_without_answer(self, name: str) -> float:
        """Note that the provider did not; returns for how many seconds it has not."""
        ...


@dataclass(frozen=True)
class BatchCallbacks:
    """What a run does while it waits for a batch.

    Attributes:
        say: is called with lines about batches.
        progress: is called with how the batch is, at each question; a line replaces the one before.
        pause: returns when the provider may be asked again; or raises an error, which ends the run for now.
        forget: how users forget a batch that the provider has no longer: a sentence.
    """

    say: Callable[[str], Awaitable[None]]
    progress: Callable[[str], Awaitable[None]]
    pause: Callable[[], Awaitable[None]]
    forget: str


class StoredBatches:
    """The `BatchStore` of a dataset: batches of one work (`state.digest`) in an SQLite file.

    Raises:
        CacheError: the file cannot be opened, read or written; also by the methods.
    """

    def __init__(self, path: Path, work: str) -> None:
        self._path, self._work = path, work
        self._unanswered_since: dict[str, float] = {}
        try:
            self._connection = open_sqlite(
                path,
                "batches (name TEXT PRIMARY KEY, work TEXT NOT NULL, id TEXT, model TEXT NOT NULL, "
                "max_tokens INTEGER NOT NULL, most REAL NOT NULL) WITHOUT ROWID",
                "batch_requests (batch TEXT, key TEXT, PRIMARY KEY (batch, key)) WITHOUT ROWID",
                synchronous="FULL",
            )
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    async def add(self, batch: OpenBatch, requests: Collection[str]) -> None:
        values = (batch.name, self._work, batch.id, batch.model, batch.max_tokens, batch.most)
        with self._transaction() as connection:
            connection.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", values)
            keys = ((batch.name, key) for key in requests)
            connection.executemany("INSERT INTO batch_requests VALUES (?, ?)", keys)

    async def submitted(self, name: str, batch_id: str) -> None:
        self._execute("UPDATE batches SET id = ? WHERE name = ?", (batch_id, name))

    async def remove(self, name: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM batches WHERE name = ?", (name,))
            connection.execute("DELETE FROM batch_requests WHERE batch = ?", (name,))

    async def open(self) -> list[OpenBatch]:
        rows = self._execute(
            "SELECT name, id, model, max_tokens, most FROM batches WHERE work = ? ORDER BY name", (self._work,)
        )
        return [OpenBatch(*row) for row in rows]

    async def requests(self, name: str) -> set[str]:
        return {key for (key,) in self._execute("SELECT key FROM batch_requests WHERE batch = ?", (name,))}

    async def note_answer(self, name: str) -> None:
        self._unanswered_since.pop(name, None)

    async def seconds_without_answer(self, name: str) -> float:
        """Seconds within this process."""
        now = time.monotonic()
        return now - self._unanswered_since.setdefault(name, now)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise self._error(error) from error

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> CacheError:
        return CacheError(f"The batches in {self._path} cannot be used: {error}")
