"""The state of work on a dataset in an SQLite file: results so far, items that failed, and the sample of its cost."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memicos_autointerp_core.bulk.estimate import CostSample
from memicos_autointerp_core.providers.answer_cache import CacheError
from memicos_autointerp_core.providers.sqlite_file import open_sqlite

UNREADABLE = "unreadable"
"""Cause of failures whose answer is stored: another attempt has to ask again."""


def digest(parts: Mapping[str, Any]) -> str:
    """A name for work that depends on these values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FailedItem:
    """`attempt`: that of the request which failed (`ChatRequest.attempt`)."""

    item: str
    cause: str
    message: str
    attempt: int

    @property
    def next_attempt(self) -> int:
        """The attempt that asks again, rather than read the stored answer that cannot be used."""
        return self.attempt + (self.cause == UNREADABLE)


class WorkState:
    """Results and failures of one work by item. Each is stored on return, and outlives a kill of the process.

    Args:
        path: the file; it is made where it is missing. Answers may be in the same file (`DiskAnswerCache`).
        work: what results depend on, of `digest`.

    Raises:
        CacheError: the file cannot be opened, read or written; also by the methods.
    """

    def __init__(self, path: Path, work: str) -> None:
        self._path, self._work = path, work
        try:
            self._connection = open_sqlite(
                path,
                "results (work TEXT, item TEXT, result TEXT NOT NULL, PRIMARY KEY (work, item)) WITHOUT ROWID",
                "failures (work TEXT, item TEXT, cause TEXT NOT NULL, message TEXT NOT NULL, attempt INTEGER NOT NULL, "
                "PRIMARY KEY (work, item)) WITHOUT ROWID",
            )
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def store(self, item: str, result: Mapping[str, Any]) -> None:
        """Store the result of an item, in place of its failure."""
        self._write("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (self._work, item, json.dumps(result)))
        self._write("DELETE FROM failures WHERE work = ? AND item = ?", (self._work, item))

    def fail(self, failure: FailedItem) -> None:
        """Store the failure of an item, in place of an earlier one."""
        self._write(
            "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)",
            (self._work, failure.item, failure.cause, failure.message, failure.attempt),
        )

    def done(self) -> set[str]:
        """Items with a result."""
        return {row[0] for row in self._read("SELECT item FROM results WHERE work = ?")}

    def results(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Items with their results."""
        for item, result in self._read("SELECT item, result FROM results WHERE work = ? ORDER BY item"):
            yield item, json.loads(result)

    def failures(self) -> dict[str, FailedItem]:
        """The last failure of each item that has no result."""
        rows = self._read("SELECT item, cause, message, attempt FROM failures WHERE work = ? ORDER BY item")
        return {row[0]: FailedItem(*row) for row in rows}

    def close(self) -> None:
        self._connection.close()

    def _read(self, statement: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(statement, (self._work,))
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> CacheError:
        return CacheError(f"The state in {self._path} cannot be used: {error}")


class StoredSample:
    """The `SampleStore` of a run on a dataset, in the file of its state.

    Args:
        run: what the cost depends on, of `digest`.

    Raises:
        CacheError: the file cannot be opened, read or written; also by the methods.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._path, self._run = path, run
        try:
            self._connection = open_sqlite(path, "samples (run TEXT PRIMARY KEY, sample TEXT NOT NULL) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    async def cost_sample(self) -> CostSample:
        try:
            row = self._connection.execute("SELECT sample FROM samples WHERE run = ?", (self._run,)).fetchone()
        except sqlite3.Error as error:
            raise self._error(error) from error
        return CostSample(**json.loads(row[0])) if row else CostSample()

    async def store_cost_sample(self, sample: CostSample) -> None:
        values = (self._run, json.dumps(asdict(sample)))
        try:
            self._connection.execute("INSERT OR REPLACE INTO samples VALUES (?, ?)", values)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        self._connection.close()

    def _error(self, error: Exception) -> CacheError:
        return CacheError(f"The sample in {self._path} cannot be used: {error}")
