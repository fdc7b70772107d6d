"""Progress of jobs as server-sent events."""

import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import asyncpg
from asyncpg import Record
from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from memicos_webapp.admin import job_watch
from memicos_webapp.admin.job_watch import JobWatch
from memicos_webapp.admin.schemas import Job, JobProgress
from memicos_webapp.admin.service import DataAdmin, job_fields
from memicos_webapp.database.errors import DatabaseUnreachableError
from memicos_webapp.inference.visitors import visitor
from memicos_webapp.security.stream_slots import Slot, StreamSlots

log = logging.getLogger(__name__)

STREAM_SECONDS = 60
"""Longest time of a stream; browsers then open another one. A shutdown waits for a stream no longer than that."""
WINDOW_SECONDS = 10
"""Speeds are averages over so long."""
ACTIVE = ("queued", "running", "waiting", "interrupted", "cancelling")


class _Speed:
    """The speed of one job, from its rows at several times."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def progress(self, row: Record) -> JobProgress:
        now, done = time.monotonic(), row["rows_done"]
        if self._points and done < self._points[-1][1]:
            self._points.clear()
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[0][0] > WINDOW_SECONDS:
            self._points.popleft()
        job = JobProgress.model_validate(job_fields(row))
        seconds = now - self._points[0][0]
        if job.state != "running" or seconds < job_watch.SECONDS or done == self._points[0][1]:
            return job
        job.rowsPerSecond = round((done - self._points[0][1]) / seconds, 1)
        if job.rows:
            job.bytesPerSecond = round(job.rowsPerSecond * job.bytes / job.rows)
            job.secondsLeft = round(max(job.rows - done, 0) / job.rowsPerSecond, 1)
        return job


async def stream(admin: DataAdmin, watch: JobWatch, shown: Sequence[int]) -> AsyncGenerator[str]:
    """An event `job` with a `JobProgress` for each change of a job that has not ended; `idle` once all have.

    `shown`: jobs that a page shows as not ended, which may have ended since.
    """
    end = time.monotonic() + STREAM_SECONDS
    speeds: dict[int, _Speed] = {}
    last: dict[int, Job] = {}
    with watch.watch(admin, shown) as watched:
        while time.monotonic() < end:
            active = False
            for row in await watched.rows():
                progress = speeds.setdefault(row["id"], _Speed()).progress(row)
                active = active or progress.state in ACTIVE
                if last.get(progress.id) != progress:
                    last[progress.id] = progress
                    # until its end is sent
                    (watched.also.add if progress.state in ACTIVE else watched.also.discard)(progress.id)
                    yield _event("job", progress)
            if not active:
                yield "event: idle\ndata: {}\n\n"
                return


def _event(name: str, body: BaseModel) -> str:
    return f"event: {name}\ndata: {body.model_dump_json()}\n\n"


class JobEvents(StreamingResponse):
    """The answer with the events; `begin` makes it. Its end frees the slot."""

    media_type = "text/event-stream"

    def __init__(self, first: str, events: AsyncGenerator[str], slot: Slot) -> None:
        self._all, self._events, self._slot = _continued(first, events), events, slot
        super().__init__(self._all, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    @classmethod
    async def begin(cls, request: Request, admin: DataAdmin, shown: Sequence[int] = ()) -> "JobEvents":
        """Read the first event before the status is sent, which is 503 where the database does not answer.

        Raises:
            TooManyRequests, Unavailable: too many streams are open, of this visitor or in all.
            DatabaseUnreachableError, asyncpg.PostgresError: the database does not answer.
        """
        slots: StreamSlots = request.app.state.job_stream_slots
        slot = slots.take(visitor())
        events = stream(admin, request.app.state.job_watch, shown)
        try:
            first = await anext(events)
        except BaseException:
            slot.free()
            await events.aclose()
            raise
        return cls(first, events, slot)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slot.free()
            await self._all.aclose()
            # where the response has not begun
            await self._events.aclose()


async def _continued(first: str, events: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """All events. The stream just ends where the database no longer answers: its status was sent before."""
    async with aclosing(events):
        yield first
        try:
            async for event in events:
                yield event
        except (DatabaseUnreachableError, asyncpg.PostgresError) as error:
            log.warning("a stream of jobs ended, as the database does not answer: %s", error)
