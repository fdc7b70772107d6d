"""The worker: runs background jobs from the queue; jobs of different kinds run side by side.

PgQueuer hands out a job and hands it out again where a worker's heartbeat has stopped. A job's advisory lock, which
PostgreSQL releases with its process, makes sure that one process runs it at a time. Every few seconds the worker queues
jobs again that nobody runs, such as those of a worker that was killed. A job that ends again and again without a
further complete file, by an error of the program or with the worker's process, fails after a number of attempts.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job as QueueEntry

from memicos_webapp.database.connection import connect
from memicos_webapp.database.errors import DRIVER_ERRORS, DatabaseError
from memicos_webapp.jobs import queue, repository
from memicos_webapp.jobs.kinds import JobKind, JobRun, Suspended
from memicos_webapp.jobs.models import JobState
from memicos_webapp.jobs.progress import JobCancelled, Progress
from memicos_webapp.jobs.runner import execute, is_lost

log = logging.getLogger(__name__)

LOST = (asyncpg.PostgresError, *DRIVER_ERRORS, DatabaseError, OSError)
"""Errors of a database that does not answer; jobs are continued when it does."""
SWEEP_SECONDS = 2
"""How often the worker looks for jobs that nobody runs, and how soon it connects again."""
CLEAN_UP_SECONDS = 3600
"""How often the worker deletes old rows of the queue's log."""
HEARTBEAT = timedelta(seconds=10)
"""A job whose worker sends no heartbeat for so long is handed to another one."""
DEQUEUE = timedelta(seconds=5)


@dataclass(frozen=True)
class _Worker:
    url: str
    stop: asyncio.Event
    kinds: Mapping[str, JobKind]
    attempts: int
    per_kind: int


async def work(url: str, stop: asyncio.Event, kinds: Sequence[JobKind], attempts: int, per_kind: int = 1) -> None:
    """Run jobs of `kinds` until `stop` is set; jobs that run then are interrupted, and continued by the next worker.

    Args:
        url: the database's.
        stop: ends the worker.
        kinds: what it runs; jobs of other kinds fail.
        attempts: a job fails after so many attempts in which no file was completed.
        per_kind: jobs of one kind that run at the same time, in all workers of the database.
    """
    worker = _Worker(url, stop, {kind.name: kind for kind in kinds}, attempts, per_kind)
    while not stop.is_set():
        try:
            await _serve(worker)
        except LOST as error:
            log.warning("the database does not answer, next attempt in %d s: %s", SWEEP_SECONDS, error)
            await _sleep(stop)


async def _serve(worker: _Worker) -> None:
    """Run jobs until `stop` is set, or raise one of LOST where the database is lost."""
    connection = await connect(worker.url, "memicos-worker")
    try:
        consumer = PgQueuer.from_asyncpg_connection(connection)

        async def run(entry: QueueEntry) -> None:
            assert entry.payload is not None
            await _run_until_stopped(worker, int(entry.payload))

        for kind in worker.kinds:
            consumer.entrypoint(queue.entrypoint(kind), concurrency_limit=worker.per_kind)(run)
        tasks = [
            asyncio.create_task(
                consumer.run(DEQUEUE, batch_size=1, heartbeat_timeout=HEARTBEAT, shutdown_on_listener_failure=True)
            ),
            asyncio.create_task(_sweep(worker)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            consumer.shutdown.set()
            for task in done:
                task.result()
            await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        connection.terminate()


async def _sweep(worker: _Worker) -> None:
    """Queue jobs that nobody runs until `stop` is set."""
    connection = await connect(worker.url, "memicos-worker")
    clean_up_at = 0.0
    try:
        while not worker.stop.is_set():
            if time.monotonic() >= clean_up_at:
                await queue.delete_old_log(connection)
                clean_up_at = time.monotonic() + CLEAN_UP_SECONDS
            for job_id in await repository.fail_exhausted(connection, worker.attempts):
                log.error("job %d failed after %d attempts", job_id, worker.attempts)
            for job_id in await repository.fail_unknown(connection, worker.kinds):
                log.error("job %d failed: the worker does not know jobs of its kind", job_id)
            for job_id, kind in await repository.waiting(connection):
                await queue.enqueue(connection, job_id, kind)
            for job in await repository.left_behind(connection):
                await _clean_up(worker, connection, job)
            await _sleep(worker.stop)
    finally:
        connection.terminate()


async def _clean_up(worker: _Worker, connection: asyncpg.Connection, job: asyncpg.Record) -> None:
    """Delete what a job left that was cancelled while no process ran it."""
    if kind := worker.kinds.get(job["kind"]):
        try:
            await kind.after(_job_run(worker, connection, job))
        except OSError as error:
            log.warning("job %d was cancelled, and not all of its files could be deleted: %s", job["id"], error)
            return
    await repository.note_clean_up(connection, job["id"])


def _job_run(worker: _Worker, connection: asyncpg.Connection, job: asyncpg.Record) -> JobRun:
    continued = job["run_again_at"] is not None
    progress = Progress(job["rows_done"]) if continued else Progress()
    return JobRun(
        job["id"], job["location"], repository.options(job), worker.url, connection, progress, True, continued
    )


async def _sleep(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)


async def _run_until_stopped(worker: _Worker, job_id: int) -> None:
    running, stopped = asyncio.create_task(_run(worker, job_id)), asyncio.create_task(worker.stop.wait())
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, stopped):
            task.cancel()
        await asyncio.gather(running, stopped, return_exceptions=True)


async def _run(worker: _Worker, job_id: int) -> None:
    """Run a job, unless another process runs it or it has ended."""
    try:
        connection = await connect(worker.url, "memicos-job")
        try:
            locked = await repository.try_lock(connection, job_id)
            if locked and await repository.start(connection, job_id, worker.attempts):
                await _run_started(worker, connection, job_id)
        finally:
            await connection.close()
    except LOST as error:
        log.warning("job %d was interrupted, and is continued: %s", job_id, error)


async def _run_started(worker: _Worker, connection: asyncpg.Connection, job_id: int) -> None:
    job = await repository.get(connection, job_id)
    assert job is not None
    run = _job_run(worker, connection, job)
    if not run.continued:
        log.info("job %d: %s of %s", job_id, job["kind"], job["location"])
    try:
        kind = worker.kinds[job["kind"]]
        await execute(kind, run, kind.run(run))
        log.info("job %d: done", job_id)
    except Suspended as pause:
        await repository.suspend(connection, job_id, pause.seconds)
    except JobCancelled:
        log.info("job %d: cancelled", job_id)
    except asyncio.CancelledError:
        await repository.withdraw_attempt(connection, job_id)
        raise
    except Exception as error:
        if is_lost(error):
            raise
        if await repository.record_fault(connection, job_id, f"{type(error).__name__}: {error}", worker.attempts):
            log.exception("job %d failed after %d attempts", job_id, worker.attempts)
        elif (await repository.get(connection, job_id) or job)["state"] == JobState.FAILED:
            log.warning("job %d failed: %s", job_id, error)
        else:
            log.exception("job %d ended by an unexpected error, and is run again", job_id)
