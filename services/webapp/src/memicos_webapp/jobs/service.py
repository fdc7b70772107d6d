"""Background jobs: adding, cancelling and continuing them. The worker runs them."""

from collections.abc import Mapping
from typing import Any

from asyncpg import Connection, Record

from memicos_webapp.errors import Conflict, NotFound
from memicos_webapp.jobs import queue, repository


async def add(connection: Connection, kind: str, location: str, options: Mapping[str, Any]) -> int:
    """Queue a job of a kind; returns its number."""
    async with connection.transaction():
        job_id = await repository.next_id(connection)
        await repository.add(connection, job_id, kind, location, options, background=True)
        await queue.enqueue(connection, job_id, kind)
    return job_id


async def cancel(connection: Connection, job_id: int) -> None:
    """Cancel a job that is queued, runs, was interrupted, or has failed and left a batch open. The clean-up deletes its
    rows, the worker its files, and a job that is added cancels its batches.

    Raises:
        NotFound: there is no such job.
        Conflict: it has ended.
    """
    if not await repository.request_cancel(connection, job_id):
        job = await get(connection, job_id)
        raise Conflict(f"Job {job_id} has ended already: it is {job['state']}.")


async def resume(connection: Connection, job_id: int) -> None:
    """Hand a job that was interrupted, failed or was cancelled to the worker, which continues it.

    Raises:
        NotFound: there is no such job.
        Conflict: it is done, or a process runs it.
    """
    async with connection.transaction():
        kind = await repository.requeue(connection, job_id)
        if kind is not None:
            await queue.enqueue(connection, job_id, kind)
    if kind is None:
        job = await get(connection, job_id)
        reason = "a process runs it" if job["active"] else "it is done"
        raise Conflict(f"Job {job_id} cannot be resumed: {reason}.")


async def get(connection: Connection, job_id: int) -> Record:
    """A job, as `repository.get` returns it.

    Raises:
        NotFound: there is no such job.
    """
    job = await repository.get(connection, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}. `memicos jobs list` lists them.")
    return job
