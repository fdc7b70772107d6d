"""Progress of a running job, and its cancellation, over a connection of their own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

import asyncpg

from memicos_webapp.database.connection import connect
from memicos_webapp.database.errors import DRIVER_ERRORS, DatabaseError
from memicos_webapp.jobs import repository as jobs

log = logging.getLogger(__name__)

Result = TypeVar("Result")

SECONDS = 0.5
"""How often progress is recorded, and how soon a cancellation is noticed."""
RECORDS = 256
"""Records that one call of a thread decodes."""


class Chunk(Protocol):
    """Rows that are sent to the database at once."""

    @property
    def rows(self) -> int: ...


Counted = TypeVar("Counted", bound=Chunk)


class JobCancelled(Exception):
    """The job was cancelled while it ran."""


@dataclass
class Progress:
    """Rows that a job has sent to the database."""

    rows: int = 0

    async def records(self, records: Iterator[Any]) -> AsyncIterator[Any]:
        """Records, decoded in a thread, so that the event loop runs on, and counted."""
        while batch := await asyncio.to_thread(list, islice(records, RECORDS)):
            for record in batch:
                yield record
            self.rows += len(batch)

    async def chunks(self, chunks: Iterator[Counted]) -> AsyncIterator[Counted]:
        """Chunks of rows, made in a thread, one ahead of what the database takes, and counted."""

        def following() -> "asyncio.Task[Counted | None]":
            return asyncio.create_task(asyncio.to_thread(next, chunks, None))

        making = following()
        try:
            while (chunk := await asyncio.shield(making)) is not None:
                making = following()
                yield chunk
                self.rows += chunk.rows
        finally:
            # where the database ends the copy, the thread still makes a chunk
            await asyncio.wait({making})
            making.exception()


async def run_cancellable(url: str, job_id: int, progress: Progress, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` while the progress of its job is recorded.

    Raises:
        JobCancelled: the job is to be cancelled; `work` has ended.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_watch(url, job_id, progress))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        # without its progress a job still goes on
        if not working.done() and not watching.result():
            await asyncio.wait({working})
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait({working})
        if not working.cancelled() and working.exception() is None:
            # it was complete before it noticed
            return working.result()
        raise JobCancelled
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.wait({working, watching})


async def _watch(url: str, job_id: int, progress: Progress) -> bool:
    """Record progress until the job is to be cancelled, and return True; False where the database is lost."""
    try:
        connection = await connect(url, "memicos-progress")
        try:
            while True:
                if await jobs.update_progress(connection, job_id, progress.rows):
                    return True
                await asyncio.sleep(SECONDS)
        finally:
            await connection.close()
    except (DatabaseError, asyncpg.PostgresError, *DRIVER_ERRORS, OSError) as error:
        log.warning("job %d: its progress cannot be recorded any more: %s", job_id, error)
        return False
