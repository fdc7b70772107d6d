"""Open batches of jobs that several processes use at once: none is paid twice, and each is cancelled once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncpg import Connection
from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.bulk.stored_batches import OpenBatch
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.webapp.database import connected, execute, fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.bulk_jobs import ended, local_provider
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.bulk import explain, open_batches
from memicos_webapp.bulk.cancel_batches import CANCEL_BATCHES, add_where_open
from memicos_webapp.bulk.open_batches import DatabaseBatches
from memicos_webapp.bulk.options import ExplainOptions
from memicos_webapp.database.engine import Database
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs.kinds import JobRun
from memicos_webapp.settings import Settings

OPTIONS = ExplainOptions("eleuther_acts_top20", 1, "local", budget=5.0, batch=True)


def batch(name: str) -> OpenBatch:
    return OpenBatch(name, None, "m", 100, 0.01)


async def add_cancelled(connection: Connection) -> int:
    """A job that was cancelled while a batch was open."""
    number = await explain.add(connection, "small/1-res", OPTIONS)
    await connection.execute("INSERT INTO job_batch VALUES ($1, $2, 'batch-7', 'm', 100, 0.01)", f"b{number}", number)
    await connection.execute("UPDATE job SET state = 'cancelled' WHERE id = $1", number)
    return number


@pytest.fixture
def llm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmProvider]:
    monkeypatch.setenv("AUTOINTERP_BATCH_POLL_SECONDS", "0.1")
    with local_provider(tmp_path, monkeypatch, "batch = true") as server:
        yield server


async def test_jobs_that_collect_at_once_submit_no_request_twice(own_url: str, llm: LlmProvider) -> None:
    """The second one waits for the first one's transaction, and then finds the request in it."""
    async with connected(own_url) as connection:
        first, second, third = [await explain.add(connection, "small/1-res", OPTIONS) for _ in range(3)]
    settings = Settings(_env_file=None, database_url=own_url)  # pyright: ignore[reportCallIssue]
    database = Database(own_url, settings)
    try:
        async with connected(own_url) as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", open_batches._LOCK)
            await connection.execute("INSERT INTO job_batch VALUES ('a', $1, NULL, 'm', 100, 0.01)", first)
            await connection.execute("INSERT INTO job_batch_request VALUES ('a', 'both')")
            adding = asyncio.create_task(DatabaseBatches(database, second).add(batch("b"), ["other", "both"]))
            assert not (await asyncio.wait([adding], timeout=0.5))[0]
        with pytest.raises(CannotContinue, match=f"A batch of job {first} has a request of this job"):
            await adding
        assert [row["name"] for row in await fetch(own_url, "SELECT name FROM job_batch")] == ["a"]
        # its own open batch is no reason
        assert await DatabaseBatches(database, first).add(batch("c"), ["both"]) == {"both"}
        # an answer that another job has stored since the requests were collected is not paid again
        await execute(own_url, "INSERT INTO language_model_answer (key, answer) VALUES ('both', '{}')")
        assert await DatabaseBatches(database, third).add(batch("d"), ["other", "both"]) == {"other"}
        assert await DatabaseBatches(database, third).requests("d") == {"other"}
        assert await DatabaseBatches(database, third).add(batch("e"), ["both"]) == set()
        assert [row["name"] for row in await fetch(own_url, "SELECT name FROM job_batch ORDER BY name")] == list("acd")
    finally:
        await database.close()


async def test_a_job_that_ends_twice_has_one_cancellation(own_url: str, llm: LlmProvider) -> None:
    async with connected(own_url) as one, connected(own_url) as other:
        number = await add_cancelled(one)
        runs = [JobRun(number, "small/1-res", OPTIONS.as_json(), own_url, connection) for connection in (one, other)]
        await asyncio.gather(*(add_where_open(run) for run in runs))
        await add_where_open(runs[0])
        (closing,) = await fetch(own_url, "SELECT id FROM job WHERE kind = 'cancel-batches'")
        # after one that has ended there may be another
        await one.execute("UPDATE job SET state = 'failed' WHERE id = $1", closing["id"])
        await add_where_open(runs[0])
    assert len(await fetch(own_url, "SELECT FROM job WHERE kind = 'cancel-batches'")) == 2


async def test_a_cancellation_waits_while_another_process_uses_the_job(own_url: str, llm: LlmProvider) -> None:
    async with connected(own_url) as connection:
        number = await add_cancelled(connection)
        await add_where_open(JobRun(number, "small/1-res", OPTIONS.as_json(), own_url, connection))
        (closing,) = await connection.fetch("SELECT id FROM job WHERE kind = 'cancel-batches'")
        assert await jobs.try_lock(connection, number)

        async def waits() -> bool:
            job = await jobs.get(connection, closing["id"])
            assert job is not None and job["state"] != "done"
            return job["state"] == "queued" and job["run_again_at"] is not None

        async with worker(own_url, explain.EXPLAIN, CANCEL_BATCHES):
            await until(waits)
            await jobs.unlock(connection, number)
            # the provider has no such batch: its record is deleted
            assert (await ended(own_url, closing["id"]))["state"] == "done"
        job = await jobs.get(connection, number)
        assert job is not None and (job["state"], job["batches"]) == ("cancelled", 0)
        lines = [row["line"] for row in await jobs.lines(connection, closing["id"])]
        assert f"another process uses job {number}; its batches are cancelled after that" in lines
        assert not any("was resumed" in line for line in lines)
