"""Batches of `memicos explain --batch` and `memicos score --batch` in their SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from memicos_autointerp_core.bulk.stored_batches import OpenBatch, StoredBatches
from memicos_autointerp_core.providers.answer_cache import CacheError


async def test_a_batch_is_removed_with_its_requests_or_not_at_all(tmp_path: Path) -> None:
    batch, path = OpenBatch("a", None, "m", 100, 0.01), tmp_path / "state.sqlite"
    with closing(StoredBatches(path, "work")) as stored:
        await stored.add(batch, ["one", "two"])
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "CREATE TRIGGER fault BEFORE DELETE ON batch_requests BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
        with pytest.raises(CacheError, match="disk full"):
            await stored.remove("a")
        assert await stored.open() == [batch] and await stored.requests("a") == {"one", "two"}
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TRIGGER fault")
        await stored.remove("a")
        assert await stored.open() == [] and await stored.requests("a") == set()


async def test_batches_of_an_earlier_version_stay_open(tmp_path: Path) -> None:
    """Its table has another name of a column."""
    path = tmp_path / "state.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE batches (name TEXT PRIMARY KEY, work TEXT NOT NULL, id TEXT, model TEXT NOT NULL, "
            "max_tokens INTEGER NOT NULL, most REAL NOT NULL) WITHOUT ROWID"
        )
        connection.execute("INSERT INTO batches VALUES ('a', 'work', 'batch_1', 'm', 100, 0.01)")
    for _ in range(2):
        with closing(StoredBatches(path, "work")) as stored:
            assert await stored.open() == [OpenBatch("a", "batch_1", "m", 100, 0.01)]
    with closing(StoredBatches(path, "work")) as stored:
        await stored.add(OpenBatch("b", None, "m", 100, 0.02), ["one"])
        assert len(await stored.open()) == 2
