"""What commands that run a job over many features share."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable

import typer
from asyncpg import Connection
from memicos_autointerp_core.bulk.estimate import Estimate
from memicos_dataset.wording import quantity

from memicos_webapp.bulk.job_task import Agree
from memicos_webapp.bulk.notes import Report, Stopped
from memicos_webapp.bulk.options import BulkOptions
from memicos_webapp.database.connection import connect
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs.commands import with_database
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.jobs.progress import JobCancelled
from memicos_webapp.jobs.runner import execute
from memicos_webapp.stored_sources import selection

LISTED_FAILURES = 20
"""Failures that are printed; `memicos jobs rejects` lists all."""

Work = Callable[[JobRun, Agree, Report], Awaitable[object]]


def run_command(
    program: str,
    kind: JobKind,
    work: Work,
    address: str,
    make_options: Callable[[Connection], Awaitable[BulkOptions]],
    asks: bool,
) -> None:
    """Run a job in this process: that of the same options which was interrupted, or failed with an open batch, if there
    is one. Ends the program with status 1 where a feature failed or the job was stopped.

    Args:
        program: name of the command.
        make_options: makes the options of the job, and checks them.
        asks: whether the user is asked if the cost is agreed to.
    """
    if asks and not sys.stdin.isatty():
        sys.exit(f"{program}: nobody can be asked whether the cost is agreed to: give --budget or --yes")
    # the list of failures has them
    logging.getLogger("memicos_autointerp_core").setLevel(logging.ERROR)

    async def agree(found: Estimate) -> bool:
        return not asks or await asyncio.to_thread(typer.confirm, "Go on?", err=True)

    async def run(url: str) -> bool:
        connection = await connect(url, f"memicos-{kind.name}")
        try:
            options = await make_options(connection)
            location = (await selection.select(connection, address)).label
            job_id = await _begin(connection, kind, location, options)
            sys.stdout.write(f"job {job_id}\n")
            job = JobRun(job_id, location, options.as_json(), url, connection)
            return await _execute(kind, job, work, agree)
        finally:
            await connection.close()

    if not with_database(program, run):
        sys.exit(1)


async def _execute(kind: JobKind, run: JobRun, work: Work, agree: Agree) -> bool:
    """Run a started job; returns whether every feature has a result."""
    stopped = ""

    async def do() -> object:
        return await work(run, agree, _print)

    try:
        await execute(kind, run, do())
    except Stopped as fault:
        stopped = fault.message
    except JobCancelled:
        stopped = "The job was cancelled."
    failures = await file_repository.rejects(run.connection, run.id)
    for row in failures[:LISTED_FAILURES]:
        sys.stderr.write(f"failed: {row['file']}/{row['line']}: {row['column']}: {row['reason']}\n")
    if failures:
        sys.stderr.write(f"{quantity(len(failures), 'feature')} failed; retry with --failed-in {run.id}\n")
    if stopped:
        sys.stderr.write(f"stopped: {stopped}\n")
    return not stopped and not failures


async def _begin(connection: Connection, kind: JobKind, location: str, options: BulkOptions) -> int:
    """Start the job with these options that was interrupted, or that failed and left a batch open, else a new one; hold
    its lock."""

    async def start(job_id: int) -> bool:
        return await jobs.start(connection, job_id)

    async def start_failed(job_id: int) -> bool:
        async with connection.transaction():
            return await jobs.reopen_failed(connection, job_id) and await jobs.start(connection, job_id)

    interrupted = await jobs.interrupted_at(connection, location)
    failed = await jobs.failed_with_batch(connection, location)
    candidates = [(job_id, "interrupted job", start) for job_id in interrupted]
    candidates += [(job_id, "open batch of the failed job", start_failed) for job_id in failed]
    for job_id, what, begin in candidates:
        job = await jobs.get(connection, job_id)
        same = job and job["kind"] == kind.name and jobs.options(job) == options.as_json()
        if not same or not await jobs.try_lock(connection, job_id):
            continue
        if await begin(job_id):
            sys.stdout.write(f"continues the {what} {job_id}\n")
            return job_id
        await jobs.unlock(connection, job_id)
    new = await jobs.next_id(connection)
    # before others see its row, which without a lock would be of an interrupted job
    await jobs.try_lock(connection, new)
    await jobs.add(connection, new, kind.name, location, options.as_json(), background=False)
    await jobs.start(connection, new)
    return new


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
