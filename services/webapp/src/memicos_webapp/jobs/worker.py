"""The worker: runs background jobs from the queue, one after the other.

PgQueuer hands out a job and hands it out again where a worker's heartbeat has stopped. A job's advisory lock, which
PostgreSQL releases with its process, makes sure that one process runs it at a time. Every few seconds the worker queues
jobs again that nobody runs, such as those of a worker that was killed.
"""

import asyncio
import json
import logging
from contextlib import suppress
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job

from memicos_webapp.database.connection import connect
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.datasets.service import ImportOptions, run_job
from memicos_webapp.jobs import queue, repository

log = logging.getLogger(__name__)

LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseError, OSError)
"""Errors of a database that does not answer; jobs are continued when it does."""
SWEEP_SECONDS = 2
"""How often the worker looks for jobs that nobody runs, and how soon it connects again."""
HEARTBEAT = timedelta(seconds=10)
"""A job whose worker sends no heartbeat for so long is handed to another one."""
DEQUEUE = timedelta(seconds=5)


async def work(url: str, stop: asyncio.Event) -> None:
    """Run jobs until `stop` is set; a job that runs then is interrupted, and continued by the next worker."""
    while not stop.is_set():
        try:
            await _serve(url, stop)
        except LOST as error:
            log.warning("the database does not answer, next attempt in %d s: %s", SWEEP_SECONDS, error)
            await _sleep(stop)


async def _serve(url: str, stop: asyncio.Event) -> None:
    """Run jobs until `stop` is set, or raise one of LOST where the database is lost."""
    connection = await connect(url, "memicos-worker")
    try:
        worker = PgQueuer.from_asyncpg_connection(connection)

        @worker.entrypoint(queue.ENTRYPOINT, concurrency_limit=1)
        async def run(job: Job) -> None:
            assert job.payload is not None
            await _run_until_stopped(url, int(job.payload), stop)

        tasks = [
            asyncio.create_task(
                worker.run(DEQUEUE, batch_size=1, heartbeat_timeout=HEARTBEAT, shutdown_on_listener_failure=True)
            ),
            asyncio.create_task(_sweep(url, stop)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            worker.shutdown.set()
            for task in done:
                task.result()
            await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        connection.terminate()


async def _sweep(url: str, stop: asyncio.Event) -> None:
    """Queue jobs that nobody runs until `stop` is set."""
    connection = await connect(url, "memicos-worker")
    try:
        while not stop.is_set():
            for job_id in await repository.waiting(connection):
                await queue.enqueue(connection, job_id)
            await _sleep(stop)
    finally:
        connection.terminate()


async def _sleep(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)


async def _run_until_stopped(url: str, job_id: int, stop: asyncio.Event) -> None:
    running, stopped = asyncio.create_task(_run(url, job_id)), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, stopped):
            task.cancel()
        await asyncio.gather(running, stopped, return_exceptions=True)


async def _run(url: str, job_id: int) -> None:
    try:
        connection = await connect(url, "memicos-worker")
        try:
            job = await repository.get(connection, job_id)
        finally:
            await connection.close()
        if job is None:
            return
        log.info("job %d: importing %s", job_id, job["location"])
        await run_job(job_id, job["location"], url, ImportOptions.from_json(json.loads(job["options"])))
        log.info("job %d: ended", job_id)
    except LOST as error:
        log.warning("job %d was interrupted, and is continued: %s", job_id, error)
