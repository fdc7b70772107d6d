"""Stored answers by the hash of their request, so that no request is paid twice."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from memicos_autointerp_core.providers.chat import Answer, TokenLogprob, TokenUsage
from memicos_autointerp_core.providers.sqlite_file import open_sqlite


class CacheError(Exception):
    """The file of stored answers cannot be read or written."""


class AnswerCache(Protocol):
    """Where answers are stored; the key is `ChatRequest.digest`. Only usable answers are stored, never failures."""

    async def get(self, key: str) -> Answer | None: ...

    async def put(self, key: str, answer: Answer) -> None:
        """Store an answer; on return it outlives a kill of this process. An answer that is there already is kept."""
        ...


def answer_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON, for the storage of a cache."""
    return {name: value for name, value in asdict(answer).items() if name != "cached"}


def answer_from_json(body: Mapping[str, Any]) -> Answer:
    """The stored answer; `cached` is true."""
    usage, logprobs = body["usage"], body["logprobs"]
    return Answer(
        text=body["text"],
        model=body["model"],
        usage=TokenUsage(**usage) if usage else None,
        cost=body["cost"],
        logprobs=None
        if logprobs is None
        else tuple(
            TokenLogprob(item["token"], item["logprob"], tuple((token, value) for token, value in item["top"]))
            for item in logprobs
        ),
        cached=True,
    )


class DiskAnswerCache:
    """Answers in an SQLite file, which several processes may use. Reads and writes take well under a millisecond.

    With write-ahead logging each committed answer outlives a kill of the process.

    Args:
        path: the file; it is made where it is missing.
        run: the work that answers are paid for. What a run has paid is stored with its answers, so that it is known
            after a kill; None stores no payments.

    Raises:
        CacheError: the file cannot be opened, read or written; also by `get` and `put`.
    """

    def __init__(self, path: Path, run: str | None = None) -> None:
        self._path = path
        self._run = run
        try:
            self._connection = open_sqlite(
                path,
                "answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID",
                "payments (run TEXT NOT NULL, cost REAL NOT NULL)",
            )
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    async def get(self, key: str) -> Answer | None:
        try:
            with closing(self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,))) as cursor:
                row = cursor.fetchone()
        except sqlite3.Error as error:
            raise self._error(error) from error
        return answer_from_json(json.loads(row[0])) if row else None

    async def put(self, key: str, answer: Answer) -> None:
        values = (key, json.dumps(answer_json(answer)))
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", values)
            if self._run is not None and answer.cost is not None:
                self._connection.execute("INSERT INTO payments VALUES (?, ?)", (self._run, answer.cost))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise self._error(error) from error

    async def pay(self, cost: float) -> None:
        """Store what an answer has cost the run that cannot be used; nothing without a run."""
        if self._run is None:
            return
        try:
            self._connection.execute("INSERT INTO payments VALUES (?, ?)", (self._run, cost))
        except sqlite3.Error as error:
            raise self._error(error) from error

    def paid(self) -> float:
        """US dollars that the run has paid so far."""
        try:
            rows = self._connection.execute("SELECT total(cost) FROM payments WHERE run = ?", (self._run,))
            return float(rows.fetchone()[0])
        except sqlite3.Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        self._connection.close()

    def _error(self, error: Exception) -> CacheError:
        return CacheError(f"The stored answers in {self._path} cannot be used: {error}")
