"""The three connections of an import: one of them ends, waits for long, or is refused while the others go on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_dataset.write import file_entry
from memicos_testing.webapp.database import connected, execute, fetch, shown_rows, states
from memicos_testing.webapp.imports.dataset_imports import CONNECTED, WAITING, disconnected, until
from memicos_testing.webapp.imports.import_server import stored_rows
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import ImportReport, load
from memicos_webapp.jobs.runner import is_lost

OWN, FEATURES, SHOWN = range(3)
"""Connections of an import, in the order in which they are opened."""
STAGES = {
    "feature": "LOCK TABLE feature IN SHARE MODE",
    "explanation": "LOCK TABLE explanation IN SHARE MODE",
    "source": "SELECT FROM source FOR NO KEY UPDATE",
}
"""Statements that hold an import up in its three stages: the last one when it shows the loads."""
SECONDS = 60


async def holds(url: str, statement: str) -> bool:
    """Whether a statement has rows."""
    return bool(await fetch(url, statement))


@asynccontextmanager
async def held_up(url: str, folder: Path, statement: str) -> "AsyncIterator[asyncio.Task[ImportReport]]":
    """An import that waits for a transaction with `statement`, which ends with the body."""
    async with connected(url) as blocker, blocker.transaction():
        await blocker.execute(statement)
        importing = asyncio.create_task(load(folder, url))

        async def waits() -> bool:
            assert not importing.done()
            return bool(await fetch(url, WAITING))

        await until(waits)
        yield importing


@asynccontextmanager
async def first_source_copied(url: str, folder: Path) -> "AsyncIterator[asyncio.Task[ImportReport]]":
    """An import that has copied the features of its first source, and is held up at those of the second one, unless it
    is refused before."""
    async with connected(url) as blocker, blocker.transaction():
        async with held_up(url, folder, STAGES["feature"]) as importing:
            await blocker.execute("SELECT FROM job_file WHERE path LIKE '2-res/features%' FOR UPDATE")

        async def waits() -> bool:
            # it may have been refused already
            return importing.done() or bool(await fetch(url, f"{WAITING} AND query LIKE '%job_file%'"))

        await until(waits)
        yield importing


@pytest.mark.parametrize(
    ("stage", "ended"),
    [(stage, ended) for stage in STAGES for ended in (OWN, FEATURES, SHOWN) if (stage, ended) != ("source", FEATURES)],
)
async def test_an_import_is_continued_after_one_of_its_connections_ended(
    own_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest], stage: str, ended: int
) -> None:
    write_dataset(tmp_path, seed=1)
    before = await shown_rows(own_url)
    async with held_up(own_url, tmp_path, STAGES[stage]) as importing:
        connections = await fetch(own_url, CONNECTED.replace("SELECT", "SELECT pid", 1) + " ORDER BY backend_start")
        assert len(connections) == 3
        await execute(own_url, "SELECT pg_terminate_backend($1)", connections[ended]["pid"])
    async with asyncio.timeout(SECONDS):
        await asyncio.wait({importing})
    error = importing.exception()
    if (stage, ended) == ("explanation", FEATURES):
        # all of them are copied
        assert error is None
        return
    assert isinstance(error, Exception) and is_lost(error)
    await until(lambda: disconnected(own_url))
    assert await shown_rows(own_url) == before
    await load(tmp_path, own_url, ImportOptions(retired_seconds=0))
    assert await states(own_url) == ["shown"] * 3
    assert [row["state"] for row in await fetch(own_url, "SELECT state::text FROM job")] == ["done"] * 2


async def test_a_refused_explanation_ends_an_import_before_features_of_later_sources_are_copied(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path)
    source = manifest.source_set.sources[0]
    assert source.explanations is not None
    path = source.explanations.path
    table = pq.read_table(tmp_path / path)
    place = table.column_names.index("index")
    unknown = pa.array([len(table) + 1000] * len(table), table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), unknown), tmp_path / path)
    source.explanations = file_entry(tmp_path, path, len(table))
    manifest.write(tmp_path)
    async with first_source_copied(fresh_url, tmp_path) as importing, asyncio.timeout(SECONDS):
        with pytest.raises(DatasetError, match=r"1-res/explanations.*is not the index of a feature"):
            await importing
    assert await states(fresh_url) == ["failed"] * 3
    assert await fetch(fresh_url, "SELECT id FROM explanation UNION ALL SELECT load_id FROM feature") == []


USER = (
    """INSERT INTO explanation (source_id, index, description, method, model, author_id, chosen_as_label)
       SELECT id, 5, 'mine', 'human', 'm', 1, true FROM source""",
    """INSERT INTO score (explanation_id, method, model, value, seed, around, text_contexts, text_positions,
         text_distances, text_answers, author_id)
       SELECT id, 'a', 'b', 0.5, 0, 1, '{}', '{}', '{}', '{}', 1 FROM explanation""",
    "UPDATE explanation SET chosen_as_label = true WHERE index = 6",
    "UPDATE source SET visibility = 'unlisted'",
    "DELETE FROM explanation WHERE description = 'mine'",
)
"""What users do to sources."""


@pytest.mark.parametrize("explained", [True, False])
async def test_users_do_not_wait_while_an_import_copies_explanations(
    own_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest], explained: bool
) -> None:
    if not explained:
        await execute(own_url, "DELETE FROM explanation")
    write_dataset(tmp_path, seed=1)
    async with first_source_copied(own_url, tmp_path) as importing, connected(own_url) as user:

        async def copied() -> bool:
            (row,) = await fetch(
                own_url,
                """SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'score'::regclass AND mode = 'RowExclusiveLock')
                   OR $1""",
                explained,
            )
            return row[0] and bool(await fetch(own_url, f"{CONNECTED} AND state = 'idle in transaction'"))

        await until(copied)
        await user.execute("SET statement_timeout = '5s'")
        for statement in USER:
            assert await user.execute(statement) != "INSERT 0 0", statement
    assert (await importing).loaded
    assert [row[0] for row in await fetch(own_url, "SELECT count(*) FROM explanation")] == [180]


async def test_replaced_loads_are_kept_from_the_time_when_they_were_replaced(
    own_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    write_dataset(tmp_path, seed=1)
    async with held_up(own_url, tmp_path, STAGES["feature"]) as importing:
        (before,) = await fetch(own_url, "SELECT clock_timestamp() AS at")
    await importing
    (retired,) = await fetch(own_url, "SELECT min(retired_at) AS at FROM load WHERE state = 'retired'")
    assert retired["at"] > before["at"]


async def test_an_import_outlasts_the_server_s_limit_of_idle_transactions(
    server_url: str, fresh_url: str, small_dataset: Path, loaded_url: str
) -> None:
    name = (await fetch(fresh_url, "SELECT current_database() AS name"))[0]["name"]
    await execute(server_url, f'ALTER DATABASE "{name}" SET idle_in_transaction_session_timeout = 200')
    async with connected(fresh_url) as blocker:
        await blocker.execute("SET idle_in_transaction_session_timeout = 0")
        async with blocker.transaction():
            await blocker.execute(STAGES["feature"])
            importing = asyncio.create_task(load(small_dataset, fresh_url))

            async def idle() -> bool:
                assert not importing.done()
                statement = f"{CONNECTED} AND state = 'idle in transaction' AND state_change < now() - interval '0.5 s'"
                return bool(await fetch(fresh_url, statement))

            await until(idle)
    assert (await importing).loaded
    assert await stored_rows(fresh_url) == await stored_rows(loaded_url)


async def test_an_import_whose_sources_another_one_shows_meanwhile_is_refused_before_it_copies_them(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    for source_set in ("res__v", "res"):
        manifest = write_dataset(tmp_path / source_set, source_set="res__v")
        manifest.source_set.id = source_set
        manifest.write(tmp_path / source_set)
    async with held_up(fresh_url, tmp_path / "res__v", STAGES["feature"]) as first:
        second = asyncio.create_task(load(tmp_path / "res", fresh_url))
        await until(lambda: holds(fresh_url, f"{WAITING} AND wait_event = 'advisory'"))
    assert (await first).loaded
    with pytest.raises(DatasetError, match="'1-res__v' belongs to set 'res__v' in the database, not to 'res'"):
        await second
    lines = await fetch(fresh_url, "SELECT job_id FROM job_line WHERE line = 'copies rows'")
    assert [row["job_id"] for row in lines] == [1]
