"""Reads the jobs for all streams of progress, over one connection that is open while there is a stream."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from asyncpg import Record

from memicos_webapp.admin.service import DataAdmin
from memicos_webapp.jobs import repository as jobs

SECONDS = 0.5
"""Time between two readings."""


@dataclass(eq=False)
class Watched:
    """What one stream sees: jobs that have not ended, and those with the numbers `also`."""

    also: set[int]
    _rows: list[Record] = field(default_factory=list)
    _error: BaseException | None = None
    _read: asyncio.Event = field(default_factory=asyncio.Event)

    async def rows(self) -> list[Record]:
        """The jobs at the next reading; the newest one where several were made since the last call.

        Raises:
            Exception: what ended the reading, such as DatabaseUnreachableError.
        """
        await self._read.wait()
        self._read.clear()
        if self._error:
            raise self._error
        return [row for row in self._rows if row["state"] in jobs.UNFINISHED or row["id"] in self.also]

    def put(self, rows: list[Record], error: BaseException | None = None) -> None:
        self._rows, self._error = rows, error
        self._read.set()


@dataclass
class JobWatch:
    """The streams that are open, and the task that reads for them."""

    _watched: set[Watched] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set for a reading at once, for a stream that has just begun."""

    @contextmanager
    def watch(self, admin: DataAdmin, also: Iterable[int]) -> Iterator[Watched]:
        """Jobs for a stream, until it ends."""
        watched = Watched(set(also))
        self._watched.add(watched)
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(admin))
            self._task.add_done_callback(self._ended)
        try:
            yield watched
        finally:
            self._watched.discard(watched)
            if not self._watched and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self, admin: DataAdmin) -> None:
        async with admin.connection() as connection:
            while True:
                self._wanted.clear()
                streams = list(self._watched)
                also = set[int]().union(*(watched.also for watched in streams))
                rows = await jobs.unfinished(connection, sorted(also))
                for watched in streams:
                    watched.put(rows)
                await self._pause()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """After an error, which every stream raises; one that begins afterwards reads anew."""
        if task.cancelled():
            return
        error = task.exception()
        # a stream that began meanwhile has a reader of its own
        if task is self._task:
            self._task = None
            for watched in self._watched:
                watched.put([], error)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wanted.wait(), SECONDS)
