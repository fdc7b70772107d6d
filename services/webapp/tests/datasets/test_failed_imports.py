"""The home page shows refused imports to the owners of the sources."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_testing.servers import Start
from memicos_webapp.catalog import repository
from memicos_webapp.catalog.visibility import NOBODY, Viewer
from memicos_webapp.database.connection import opened
from memicos_webapp.database.engine import Database
from memicos_webapp.datasets.copying import run_concurrently
from memicos_webapp.datasets.service import load
from memicos_webapp.settings import Settings

REASON = "20 is not from 0 to 19"


@pytest.fixture
async def refused(fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]) -> str:
    """A database with a refused dataset of three sources."""
    manifest = write_dataset(tmp_path)
    manifest.source_set.sources[1].d_sae = 20
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match=REASON):
        await load(tmp_path, fresh_url)
    return fresh_url


async def test_the_owner_sees_why_an_import_was_refused(refused: str, small_dataset: Path, started: Start) -> None:
    async with started(refused) as client:
        page = (await client.get("/")).text
        assert "<b>small/1-res, small/2-res, small/3-res</b>" in page and REASON in page
        await load(small_dataset, refused)
        page = (await client.get("/")).text
        assert "Failed imports" not in page and "/small/res" in page


async def test_a_failed_import_stays_until_its_source_is_shown(
    own_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest], started: Start
) -> None:
    manifest = write_dataset(tmp_path, seed=1)
    manifest.source_set.sources[1].d_sae = 20
    manifest.write(tmp_path)
    for _ in range(2):
        with pytest.raises(DatasetError, match=REASON):
            await load(tmp_path, own_url)
    async with started(own_url) as client:
        page = (await client.get("/")).text
    assert page.count(REASON) == 1 and "/small/res" in page


async def test_other_visitors_do_not_see_failed_imports(refused: str, started: Start) -> None:
    async with started(refused, host="0.0.0.0", allowed_hosts="localhost") as client:
        page = await client.get("/")
        assert page.status_code == 200 and REASON not in page.text and "Failed imports" not in page.text


async def test_an_account_sees_failed_imports_of_its_own_sources(refused: str) -> None:
    connection = await asyncpg.connect(refused)
    try:
        await connection.execute("INSERT INTO account (name) VALUES ('owner'), ('other')")
        await connection.execute("UPDATE source SET owner_id = 2 WHERE name = '2-res'")
    finally:
        await connection.close()
    database = Database(refused, Settings(_env_file=None))  # pyright: ignore[reportCallIssue]
    try:
        async with database.snapshot() as session:
            owned = {
                viewer: await repository.newest_failed_loads(session, viewer)
                for viewer in (Viewer(2), Viewer(3), NOBODY)
            }
    finally:
        await database.close()
    assert {viewer.account_id: [failed.name for failed in loads] for viewer, loads in owned.items()} == {
        2: ["2-res"], 3: [], None: [],
    }  # fmt: skip


async def test_a_failure_of_the_features_lets_the_statement_of_the_other_connection_end(own_url: str) -> None:
    """A statement that is cancelled may leave its connection in a transaction, where no failure could be recorded."""

    async def fail() -> None:
        raise DatasetError("features.parquet", REASON)

    async with opened(own_url, "test") as connection:
        with pytest.raises(DatasetError, match=REASON):
            async with run_concurrently(fail()), connection.transaction():
                await connection.execute("SELECT pg_sleep(0.1)")
                await connection.execute("CREATE TABLE written ()")
        assert await connection.fetchval("SELECT count(*) FROM written") == 0
        assert not connection.is_in_transaction()
        # the body's own error ends the work
        started, ended = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(ZeroDivisionError):
            async with run_concurrently(wait()):
                await started.wait()
                raise ZeroDivisionError
        assert ended.is_set()
