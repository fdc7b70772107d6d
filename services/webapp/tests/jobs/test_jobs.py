"""Import jobs: continued after a kill, run by the worker, cancelled."""

import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from memicos_dataset.manifest import Manifest
from memicos_testing.webapp.database import connected, fetch, states
from memicos_testing.webapp.imports.dataset_imports import JOBS, disconnected, stopped_before, until
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.datasets.public_layout import work_folder
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import IMPORT, add_import, load
from memicos_webapp.errors import Conflict, NotFound
from memicos_webapp.jobs import progress, repository, service
from memicos_webapp.jobs.kinds import JobKind, JobRun, Suspended
from memicos_webapp.jobs.progress import JobCancelled

CONTENT = """SELECT source.name, feature.index, feature.max_activation, feature.values FROM feature
             JOIN source ON source.current_load_id = load_id ORDER BY source.name, feature.index"""
EXPLANATIONS = "SELECT source_id, index, description FROM explanation ORDER BY source_id, index, description"


async def test_a_killed_import_continues_at_the_file_where_it_was(
    fresh_url: str, small_dataset: Path, loaded_url: str
) -> None:

    async def copied() -> bool:
        (job,) = await fetch(fresh_url, JOBS)
        # texts and features
        return job["files_done"] == 6

    async with stopped_before(fresh_url, small_dataset, "explanation") as process:
        await until(copied)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await until(lambda: disconnected(fresh_url))
    (before,) = await fetch(fresh_url, JOBS)
    assert (before["state"], before["active"], before["files_done"]) == ("running", False, 6)
    assert await states(fresh_url) == ["staging"] * 3
    stored = await fetch(fresh_url, "SELECT load_id, index, xmin::text FROM feature ORDER BY load_id, index")
    assert len(stored) == 64 * 3
    assert (await load(small_dataset, fresh_url)).loaded
    (after,) = await fetch(fresh_url, JOBS)
    assert (after["id"], after["state"], after["attempts"]) == (before["id"], "done", 2)
    assert after["files_done"] == after["files"] and after["rows_done"] == after["rows"]
    # rows of the complete files are the same ones
    rows = await fetch(fresh_url, "SELECT load_id, index, xmin::text FROM feature ORDER BY load_id, index")
    assert rows == stored
    assert await fetch(fresh_url, CONTENT) == await fetch(loaded_url, CONTENT)
    assert await fetch(fresh_url, EXPLANATIONS) == await fetch(loaded_url, EXPLANATIONS)


@pytest.mark.slow
async def test_another_dataset_of_the_set_replaces_an_interrupted_import(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    async with stopped_before(fresh_url, small_dataset, "feature") as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await until(lambda: disconnected(fresh_url))
    write_dataset(tmp_path, features=48, seed=1)
    assert (await load(tmp_path, fresh_url)).loaded
    first, second = await fetch(fresh_url, JOBS)
    assert (first["state"], first["error"]) == ("cancelled", f"replaced by job {second['id']}")
    assert await states(fresh_url) == ["shown"] * 3


async def test_the_worker_runs_queued_jobs_and_records_why_one_failed(
    fresh_url: str, small_dataset: Path, tmp_path: Path, loaded_url: str
) -> None:
    async with connected(fresh_url) as connection:
        missing = await add_import(connection, str(tmp_path / "missing"), ImportOptions())
        good = await add_import(connection, str(small_dataset), ImportOptions())
        # as after a worker that was killed while it ran the job
        await connection.execute("UPDATE job SET state = 'running' WHERE id = $1", good)
        await connection.execute("DELETE FROM pgqueuer")
    async with worker(fresh_url, IMPORT):

        async def ended() -> bool:
            return {row["state"] for row in await fetch(fresh_url, JOBS)} == {"failed", "done"}

        await until(ended)
    jobs = {row["id"]: row for row in await fetch(fresh_url, JOBS)}
    assert "missing/manifest.json: no such file" in jobs[missing]["error"]
    assert jobs[good]["state"] == "done" and jobs[good]["rows_done"] == jobs[good]["rows"]
    assert await fetch(fresh_url, CONTENT) == await fetch(loaded_url, CONTENT)
    async with connected(fresh_url) as connection:
        with pytest.raises(Conflict, match="it is done"):
            await service.resume(connection, good)
        with pytest.raises(Conflict, match="has ended already: it is failed"):
            await service.cancel(connection, missing)
        with pytest.raises(NotFound, match="no job 99"):
            await service.cancel(connection, 99)


async def test_a_cancelled_import_leaves_nothing_and_can_be_resumed(
    fresh_url: str, small_dataset: Path, loaded_url: str
) -> None:
    async with connected(fresh_url) as blocker, connected(fresh_url) as connection:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE feature IN SHARE MODE")
            importing = asyncio.create_task(load(small_dataset, fresh_url))

            async def staged() -> bool:
                return len(await states(fresh_url)) == 3

            await until(staged)
            (job,) = await fetch(fresh_url, JOBS)
            await service.cancel(connection, job["id"])

            async def cancelled() -> bool:
                return (await fetch(fresh_url, JOBS))[0]["state"] == "cancelled"

            await until(cancelled)
        with pytest.raises(JobCancelled):
            await importing
        assert await fetch(fresh_url, "SELECT id FROM load UNION ALL SELECT id FROM corpus") == []
        await service.resume(connection, job["id"])
        async with worker(fresh_url, IMPORT):

            async def done() -> bool:
                return (await fetch(fresh_url, JOBS))[0]["state"] == "done"

            await until(done)
    assert await fetch(fresh_url, CONTENT) == await fetch(loaded_url, CONTENT)


async def test_the_worker_deletes_what_an_import_left_that_was_cancelled_while_nobody_ran_it(
    fresh_url: str, tmp_path: Path
) -> None:
    folders = {}
    options = ImportOptions(conversions=str(tmp_path / "conversions"))
    async with connected(fresh_url) as connection:
        for name in ("cancelled", "shared"):
            job = await add_import(connection, str(tmp_path / name), options)
            folders[name] = work_folder(tmp_path / "conversions", str(tmp_path / name), ())
            # as a killed conversion leaves it
            (folders[name].with_name(f".{folders[name].name}.convert") / "files").mkdir(parents=True)
            # nobody takes it, as where no worker runs
            await connection.execute("DELETE FROM pgqueuer")
            await connection.execute("UPDATE job SET state = 'running' WHERE id = $1", job)
            await service.cancel(connection, job)
        # a command that goes on with the conversion
        other = await add_import(connection, str(tmp_path / "shared"), options)
        await connection.execute("DELETE FROM pgqueuer")
        await connection.execute("UPDATE job SET background = false WHERE id = $1", other)
    async with worker(fresh_url, IMPORT):

        async def cleaned() -> bool:
            return not await fetch(fresh_url, "SELECT FROM job WHERE cancel_requested")

        await until(cleaned)
    left = [path.name for path in (tmp_path / "conversions").iterdir()]
    assert left == [f".{folders['shared'].name}.convert"]
    assert [row["state"] for row in await fetch(fresh_url, JOBS)][:2] == ["cancelled"] * 2


async def test_a_job_that_faults_fails_after_a_limited_number_of_attempts(fresh_url: str) -> None:
    runs: list[int] = []

    async def fault(run: JobRun) -> None:
        runs.append(run.id)
        raise KeyError("colour")

    async with connected(fresh_url) as connection:
        faulty = await service.add(connection, "paint", "/house", {})
        unknown = await service.add(connection, "sing", "/house", {})
        killed = await service.add(connection, "paint", "/house", {})
        # as after workers that were killed while they ran the job
        await connection.execute(
            "UPDATE job SET state = 'running', attempts_without_progress = 2 WHERE id = $1", killed
        )
        # a worker may take it from the queue before it looks for such jobs
        assert not await repository.start(connection, killed, 2)
    async with worker(fresh_url, JobKind("paint", fault), attempts=2):

        async def ended() -> bool:
            return {row["state"] for row in await fetch(fresh_url, JOBS)} == {"failed"}

        await until(ended)
    jobs = {row["id"]: row for row in await fetch(fresh_url, JOBS)}
    assert runs == [faulty, faulty] and jobs[faulty]["attempts"] == 2
    assert jobs[faulty]["error"] == "KeyError: 'colour'"
    assert jobs[unknown]["error"] == "the worker does not know jobs of the kind 'sing'"
    assert "ended in 2 attempts without progress, each time with its process" in jobs[killed]["error"]
    async with connected(fresh_url) as connection:
        await service.resume(connection, faulty)
        assert await connection.fetchval("SELECT attempts_without_progress FROM job WHERE id = $1", faulty) == 0


async def test_a_suspended_job_is_run_again_as_the_same_attempt(fresh_url: str) -> None:
    runs: list[tuple[bool, int]] = []

    async def paint(run: JobRun) -> None:
        runs.append((run.continued, run.progress.rows))
        run.progress.rows += 1
        await asyncio.sleep(progress.SECONDS * 1.5)
        if len(runs) < 3:
            raise Suspended(0.1)
        if run.location == "/ruin":
            raise RuntimeError("the wall fell")

    async with connected(fresh_url) as connection:
        for age in (timedelta(days=8), timedelta(days=6)):
            await connection.execute(
                """INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)
                   VALUES (now() - $1::interval, 1, 'successful', 0, 'x')""",
                age,
            )
        number = await service.add(connection, "paint", "/house", {})

    async def ended() -> bool:
        return (await fetch(fresh_url, JOBS))[-1]["state"] in ("done", "failed")

    async with worker(fresh_url, JobKind("paint", paint), attempts=2):
        await until(ended)
        (job,) = await fetch(fresh_url, JOBS)
        assert (job["state"], job["attempts"]) == ("done", 1) and runs == [(False, 0), (True, 1), (True, 2)]
        lines = await fetch(fresh_url, "SELECT line FROM job_line WHERE job_id = $1 ORDER BY id", number)
        assert [row["line"] for row in lines] == ["attempt 1 begins", "done"]
        assert (await fetch(fresh_url, "SELECT count(*) AS n FROM pgqueuer_log WHERE entrypoint = 'x'"))[0]["n"] == 1
        # a job that was suspended fails like another one
        runs.clear()
        async with connected(fresh_url) as connection:
            await service.add(connection, "paint", "/ruin", {})
        await until(ended)
    failed = (await fetch(fresh_url, JOBS))[-1]
    assert failed["state"] == "failed" and "the wall fell" in failed["error"] and len(runs) == 4


async def test_a_suspended_job_is_cancelled_at_once(fresh_url: str) -> None:
    left: list[int] = []

    async def paint(run: JobRun) -> None:
        raise Suspended(3600)

    async def clean(run: JobRun) -> None:
        left.append(run.id)

    async with connected(fresh_url) as connection:
        number = await service.add(connection, "paint", "/house", {})

    async def suspended() -> bool:
        return bool(await fetch(fresh_url, "SELECT FROM job WHERE state = 'queued' AND run_again_at IS NOT NULL"))

    async def cleaned() -> bool:
        return left == [number]

    async with worker(fresh_url, JobKind("paint", paint, after=clean)):
        await until(suspended)
        async with connected(fresh_url) as connection:
            await service.cancel(connection, number)
        (job,) = await fetch(fresh_url, JOBS)
        assert job["state"] == "cancelled"
        await until(cleaned)


async def test_a_job_that_is_cancelled_when_it_is_suspended_has_no_stage(fresh_url: str) -> None:
    async with connected(fresh_url) as connection:
        for cancelled in (False, True):
            number = await service.add(connection, "paint", "/house", {})
            await repository.start(connection, number)
            await repository.set_stage(connection, number, "the paint dries")
            await connection.execute("UPDATE job SET cancel_requested = $2 WHERE id = $1", number, cancelled)
            await repository.suspend(connection, number, 60)
    rows = await fetch(fresh_url, "SELECT state::text, stage FROM job ORDER BY id")
    assert [tuple(row) for row in rows] == [("queued", "the paint dries"), ("cancelled", None)]


@pytest.mark.parametrize("per_kind", [1, 2])
async def test_a_long_job_delays_no_job_of_another_kind(fresh_url: str, per_kind: int) -> None:
    go, begun, sung = asyncio.Event(), [0], asyncio.Event()

    async def paint(run: JobRun) -> None:
        begun[0] += 1
        await go.wait()

    async def sing(run: JobRun) -> None:
        sung.set()

    async with connected(fresh_url) as connection:
        for name in ("paint", "paint", "paint", "sing"):
            await service.add(connection, name, "/house", {})
    async with worker(fresh_url, JobKind("paint", paint), JobKind("sing", sing), per_kind=per_kind):
        await asyncio.wait_for(sung.wait(), 30)

        async def full() -> bool:
            return begun[0] == per_kind

        await until(full)
        # the others wait, also where the worker queues them again
        await asyncio.sleep(0.5)
        assert begun[0] == per_kind
        running = [row["kind"] for row in await fetch(fresh_url, "SELECT kind FROM job WHERE state = 'running'")]
        assert running == ["paint"] * per_kind
        go.set()

        async def done() -> bool:
            return {row["state"] for row in await fetch(fresh_url, JOBS)} == {"done"}

        await until(done)
    assert begun[0] == 3


async def test_a_second_worker_takes_jobs_of_a_kind_only_up_to_the_limit(fresh_url: str) -> None:
    go, begun = asyncio.Event(), [0]

    async def paint(run: JobRun) -> None:
        begun[0] += 1
        await go.wait()

    kind = JobKind("paint", paint)
    async with connected(fresh_url) as connection:
        for _ in range(3):
            await service.add(connection, kind.name, "/house", {})
    async with worker(fresh_url, kind), worker(fresh_url, kind):

        async def one() -> bool:
            return begun[0] == 1

        await until(one)
        await asyncio.sleep(0.5)
        assert begun[0] == 1
        go.set()

        async def done() -> bool:
            return {row["state"] for row in await fetch(fresh_url, JOBS)} == {"done"}

        await until(done)
