"""Runs the work of a job whose lock the caller's connection holds, and records its result."""

import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

from memicos_webapp.database.errors import DRIVER_ERRORS
from memicos_webapp.jobs import repository
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.jobs.models import JobState
from memicos_webapp.jobs.progress import JobCancelled, run_cancellable

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_LOST = ("08", "57P")
"""Classes of PostgreSQL's errors where the server or the connection ends."""


def is_lost(error: Exception) -> bool:
    """Whether the error is of a database that ended or a lost connection, so that the job is continued later."""
    if isinstance(error, asyncpg.PostgresError):
        return str(getattr(error, "sqlstate", None) or "").startswith(_LOST)
    return isinstance(error, (*DRIVER_ERRORS, ConnectionError))


async def execute(kind: JobKind, run: JobRun, work: Coroutine[Any, Any, Result]) -> Result:
    """Await `work`, which `kind` does for the started job of `run`, until it ends or the job is cancelled.

    Raises:
        JobCancelled: the job was cancelled; its row says so.
        an error of `kind.refusals`, or one of PostgreSQL's about the work: the job has failed; its row has the message.
        Exception: any other error, of which nothing is recorded.
    """
    try:
        result = await run_cancellable(run.url, run.id, run.progress, work)
    except JobCancelled:
        await _end(kind, run, JobState.CANCELLED)
        raise
    except (*kind.refusals, asyncpg.PostgresError) as error:
        if not is_lost(error):
            await _fail(kind, run, error)
        raise
    await repository.finish(run.connection, run.id, JobState.DONE)
    return result


async def _fail(kind: JobKind, run: JobRun, error: Exception) -> None:
    try:
        await _end(kind, run, JobState.FAILED, str(error))
    except (asyncpg.PostgresError, *DRIVER_ERRORS, OSError) as second:
        # the next attempt fails for the same reason
        log.warning("the failure of job %d could not be recorded: %s", run.id, second)


async def _end(kind: JobKind, run: JobRun, state: JobState, error: str | None = None) -> None:
    await repository.finish(run.connection, run.id, state, error)
    await repository.unlock(run.connection, run.id)
    await kind.after(run)
    await repository.note_clean_up(run.connection, run.id)
