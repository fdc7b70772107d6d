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
