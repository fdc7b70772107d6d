"""`memicos jobs list | follow | cancel | resume`."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import asyncpg
import typer
from asyncpg import Connection, Record
from memicos_dataset.wording import quantity

from memicos_webapp.database.connection import connect
from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.errors import DRIVER_ERRORS, DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.errors import Fault
from memicos_webapp.jobs import file_repository, repository, service
from memicos_webapp.settings import read_for_writing

Result = TypeVar("Result")

FOLLOW_SECONDS = 1

JobNumber = Annotated[int, typer.Argument(help="number of the job")]


def with_database(program: str, action: Callable[[str], Awaitable[Result]]) -> Result:
    """Run `action` with the URL of the database that the settings name, which is migrated before; ends the program with
    one line where it fails."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = read_for_writing(program)

    async def run(url: str) -> Result:
        await migrate(url)
        return await action(url)

    try:
        with database_url(settings) as url:
            return asyncio.run(run(url))
    except Fault as error:
        sys.exit(f"{program}: {error.message}")
    except (DatabaseError, asyncpg.PostgresError, *DRIVER_ERRORS, OSError) as error:
        sys.exit(f"{program}: {error}")


def with_connection(program: str, action: Callable[[Connection], Awaitable[Result]]) -> Result:
    """`with_database` with a connection."""

    async def run(url: str) -> Result:
        connection = await connect(url, "memicos-jobs")
        try:
            return await action(connection)
        finally:
            await connection.close()

    return with_database(program, run)


def describe(job: Record) -> str:
    """One line about a job."""
    state = job["state"]
    if state == "running" and not job["active"]:
        state = "interrupted"
    elif state == "running" and job["cancel_requested"]:
        state = "being cancelled"
    elif state == "queued" and job["run_again_at"] is not None:
        state = f"waiting, {job['stage']}" if job["stage"] else "waiting"
    progress = (
        f", {job['files_done']} of {job['files']} files, {quantity(job['rows_done'], 'row')}" if job["files"] else ""
    )
    progress += f", {job['rejects']} left out" if job["rejects"] else ""
    progress += f", ${job['paid']:,.4f} paid" if job["paid"] else ""
    error = f": {job['error']}" if job["error"] else ""
    name = job["subject"] or job["location"]
    return f"job {job['id']}: {job['kind']} of {name}: {state}{progress}{error}"


def list_jobs(count: Annotated[int, typer.Option(min=1, help="newest jobs to list")] = 20) -> None:
    """List jobs, the newest first."""
    for job in with_connection("jobs list", lambda connection: repository.newest(connection, count)):
        sys.stdout.write(describe(job) + "\n")


def follow_job(number: JobNumber) -> None:
    """Show the progress of a job until it ends. Exit status 1 where it failed or was cancelled."""

    async def follow(connection: Connection) -> str:
        last = ""
        while True:
            job = await service.get(connection, number)
            if (line := describe(job)) != last:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
                last = line
            if job["state"] in ("done", "failed", "cancelled"):
                return job["state"]
            await asyncio.sleep(FOLLOW_SECONDS)

    if with_connection("jobs follow", follow) != "done":
        sys.exit(1)


def list_rejects(number: JobNumber) -> None:
    """List rows that a job left out, each with file, line, column and reason."""

    async def read(connection: Connection) -> list[Record]:
        await service.get(connection, number)
        return await file_repository.rejects(connection, number)

    for row in with_connection("jobs rejects", read):
        column = f", column {row['column']}" if row["column"] else ""
        sys.stdout.write(f"{row['file']}, line {row['line']}{column}: {row['reason']}\n")


def cancel_job(number: JobNumber) -> None:
    """Cancel a job. What an import has stored is deleted, and pages do not change; sources that a deletion has hidden
    stay hidden. The worker cancels the batches of a job that explains or scores at the provider."""
    with_connection("jobs cancel", lambda connection: service.cancel(connection, number))
    sys.stdout.write(f"job {number} is cancelled\n")


def resume_job(number: JobNumber) -> None:
    """Let the worker continue a job that was interrupted, failed or was cancelled."""
    with_connection("jobs resume", lambda connection: service.resume(connection, number))
    sys.stdout.write(f"job {number} is queued; the worker continues it\n")
