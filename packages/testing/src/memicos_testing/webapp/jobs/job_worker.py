"""A worker that runs background jobs, within the test's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from memicos_webapp.jobs.kinds import JobKind
from memicos_webapp.jobs.worker import work


@asynccontextmanager
async def worker(url: str, *kinds: JobKind, attempts: int = 5, per_kind: int = 1) -> AsyncIterator[None]:
    """A worker that runs jobs of these kinds until the end of the context, as `work` says."""
    stop = asyncio.Event()
    working = asyncio.create_task(work(url, stop, kinds, attempts, per_kind))
    try:
        yield
    finally:
        stop.set()
        await working
