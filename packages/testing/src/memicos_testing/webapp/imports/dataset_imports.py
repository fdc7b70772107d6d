"""Imports in processes of their own, which tests stop and kill."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from memicos_webapp.jobs.repository import JOBS as _JOBS

from memicos_testing.webapp.database import connected, fetch

JOBS = f"{_JOBS} ORDER BY job.id"
"""All jobs, with the numbers of their files and rows."""


async def import_process(url: str, folder: Path) -> asyncio.subprocess.Process:
    """An import in a separate process."""
    command = (sys.executable, "-m", "memicos_webapp.datasets.commands", str(folder))
    return await asyncio.create_subprocess_exec(*command, env={**os.environ, "DATABASE_URL": url})


WAITING = """SELECT FROM pg_stat_activity WHERE application_name = 'memicos-import'
             AND datname = current_database() AND wait_event_type = 'Lock'"""
CONNECTED = """SELECT FROM pg_stat_activity WHERE application_name = 'memicos-import'
               AND datname = current_database()"""


@asynccontextmanager
async def stopped_before(url: str, folder: Path, table: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An import that waits before its first change of `table`; the lock is released at the end."""
    async with connected(url) as blocker, blocker.transaction():
        await blocker.execute(f"LOCK TABLE {table} IN SHARE MODE")
        process = await import_process(url, folder)
        async with asyncio.timeout(60):
            while not await fetch(url, WAITING):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield process


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Wait until `condition` is true.

    Raises:
        TimeoutError: it is not after `seconds`.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


async def disconnected(url: str) -> bool:
    """Whether no import is connected to the database."""
    return not await fetch(url, CONNECTED)
