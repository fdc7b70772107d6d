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
        max_request_cost: the most that one of its requests can cost, in US dollars.
    """

    name: str
    id: str | None
    model: str
    max_tokens: int
    max_request_cost: float


class BatchStore(Protocol):
    """The open batches of one work. What a method has stored outlives a kill of the process, once it returns."""

    async def add(self, batch: OpenBatch, requests: Collection[str]) -> Collection[str]:
        """Store a batch that will be submitted, and the hashes of its requests.

        Returns the requests that are to be sent: those without a stored answer. Without any no batch is stored.
        """
        ...

    async def submitted(self, name: str, batch_id: str) -> None: ...

    async def remove(self, name: str) -> None:
        """Delete the record of a batch whose answers are stored, or that was never submitted."""
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
        log_line: is called with lines about batches.
        show_progress: is called with the state of the batch, at each request for it; a line replaces the one before.
        wait_for_next_poll: returns when the next request for the state may be sent; in a background job it raises
            `Suspended` (of the webapp), which ends the run until then.
        removal_hint: how users delete the record of a batch that the provider no longer has: a sentence.
    """

    log_line: Callable[[str], Awaitable[None]]
    show_progress: Callable[[str], Awaitable[None]]
    wait_for_next_poll: Callable[[], Awaitable[None]]
    removal_hint: str


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
                "max_tokens INTEGER NOT NULL, max_request_cost REAL NOT NULL) WITHOUT ROWID",
                "batch_requests (batch TEXT, key TEXT, PRIMARY KEY (batch, key)) WITHOUT ROWID",
                synchronous="FULL",
            )
            self._rename_column()
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def _rename_column(self) -> None:
        """Of a file of an earlier version, which may have a batch that is paid."""
        if self._connection.execute("SELECT 1 FROM pragma_table_info('batches') WHERE name = 'most'").fetchone():
            self._connection.execute("ALTER TABLE batches RENAME COLUMN most TO max_request_cost")

    async def add(self, batch: OpenBatch, requests: Collection[str]) -> Collection[str]:
        """All requests: no other process works on a dataset."""
        values = (batch.name, self._work, batch.id, batch.model, batch.max_tokens, batch.max_request_cost)
        with self._transaction() as connection:
            connection.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", values)
            keys = ((batch.name, key) for key in requests)
            connection.executemany("INSERT INTO batch_requests VALUES (?, ?)", keys)
        return requests

    async def submitted(self, name: str, batch_id: str) -> None:
        self._execute("UPDATE batches SET id = ? WHERE name = ?", (batch_id, name))

    async def remove(self, name: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM batches WHERE name = ?", (name,))
            connection.execute("DELETE FROM batch_requests WHERE batch = ?", (name,))

    async def open(self) -> list[OpenBatch]:
        rows = self._execute(
            "SELECT name, id, model, max_tokens, max_request_cost FROM batches WHERE work = ? ORDER BY name",
            (self._work,),
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
