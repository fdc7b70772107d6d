"""`memicos sources explain`: explain many features of a database."""

import asyncio
import logging
import sys
from typing import Annotated

import typer
from asyncpg import Connection
from memicos_autointerp_core.bulk.estimate import Estimate

from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.bulk import explain
from memicos_webapp.bulk.options import BulkOptions, FeatureSelection, read_indices
from memicos_webapp.database.connection import connect
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs.commands import with_database
from memicos_webapp.jobs.kinds import JobRun
from memicos_webapp.jobs.progress import JobCancelled
from memicos_webapp.jobs.runner import execute
from memicos_webapp.stored_sources import selection

LISTED_FAILURES = 20
"""Failures that are printed; `memicos jobs rejects` lists all."""


def explain_sources(
    address: Annotated[str, typer.Argument(help="model/source, or model/set for all sources of the set")],
    method: Annotated[str, typer.Option(help="explainer")] = "eleuther_acts_top20",
    profile: Annotated[str | None, typer.Option(help="provider, of AUTOINTERP_PROFILES_FILE")] = None,
    model: Annotated[str | None, typer.Option(help="language model; default: the profile's first")] = None,
    min_density: Annotated[float, typer.Option(min=0, max=1, help="smallest share of active tokens")] = 0.0,
    max_density: Annotated[float, typer.Option(min=0, max=1, help="largest share of active tokens")] = 1.0,
    unexplained: Annotated[
        bool, typer.Option("--unexplained", help="only features without an explanation other than token statistics")
    ] = False,
    score_below: Annotated[float | None, typer.Option(help="only features whose label has a lower score")] = None,
    score_method: Annotated[str, typer.Option(help="of --score-below")] = "eleuther_embedding",
    indices: Annotated[str, typer.Option(help="only these, as 3,7,10-20")] = "",
    failed_in: Annotated[int | None, typer.Option(help="only features that this job listed as failed")] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="most US dollars to pay, interruptions included; asks no question")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask whether the cost is agreed to")] = False,
) -> None:
    """Explain features of a database with a language model; pages show each explanation as it comes.

    The cost is measured on 20 features first. A killed run continues, and pays for no answer again.
    """
    if not yes and budget is None and not sys.stdin.isatty():
        sys.exit("sources explain: nobody can be asked whether the cost is agreed to: give --budget or --yes")
    # the list of failures has them
    logging.getLogger("memicos_autointerp_core").setLevel(logging.ERROR)

    async def agree(found: Estimate) -> bool:
        if yes or budget is not None:
            return True
        return await asyncio.to_thread(typer.confirm, "Go on?", err=True)

    async def run(url: str) -> bool:
        chosen = FeatureSelection(
            min_density, max_density, unexplained, score_below, score_method, read_indices(indices), failed_in
        )
        connection = await connect(url, "memicos-explain")
        try:
            attempt = await explain.next_attempt(connection, failed_in)
            options = BulkOptions(method, OWNER_ID, profile, model, budget, attempt, chosen)
            explain.check(options)
            location = (await selection.select(connection, address)).label
            return await _run(connection, url, location, options, agree)
        finally:
            await connection.close()

    if not with_database("sources explain", run):
        sys.exit(1)


async def _run(connection: Connection, url: str, location: str, options: BulkOptions, agree: explain.Agree) -> bool:
    """Run a job in this process, the interrupted one of the same options if there is one; returns whether every
    feature has an explanation."""
    job_id = await _begin(connection, location, options)
    sys.stdout.write(f"job {job_id}\n")
    run = JobRun(job_id, location, options.as_json(), url, connection)
    stopped = ""
    try:
        await execute(explain.EXPLAIN, run, explain.explain(run, agree, _print))
    except explain.Stopped as fault:
        stopped = fault.message
    except JobCancelled:
        stopped = "The job was cancelled."
    failures = await jobs.rejects(connection, job_id)
    for row in failures[:LISTED_FAILURES]:
        sys.stderr.write(f"failed: {row['file']}/{row['line']}: {row['column']}: {row['reason']}\n")
    if failures:
        sys.stderr.write(f"{len(failures):,} features failed; retry them alone with --failed-in {job_id}\n")
    if stopped:
        sys.stderr.write(f"stopped: {stopped}\n")
    return not stopped and not failures


async def _begin(connection: Connection, location: str, options: BulkOptions) -> int:
    """Start the interrupted job of a command with these options, else a new one; hold its lock."""
    for interrupted in await jobs.interrupted_at(connection, location):
        job = await jobs.get(connection, interrupted)
        same = job and job["kind"] == explain.EXPLAIN.name and jobs.options(job) == options.as_json()
        if not same or not await jobs.try_lock(connection, interrupted):
            continue
        if await jobs.start(connection, interrupted):
            sys.stdout.write(f"continues the interrupted job {interrupted}\n")
            return interrupted
        await jobs.unlock(connection, interrupted)
    new = await jobs.next_id(connection)
    # before others see its row, which without a lock would be of an interrupted job
    await jobs.try_lock(connection, new)
    await jobs.add(connection, new, explain.EXPLAIN.name, location, options.as_json(), background=False)
    await jobs.start(connection, new)
    return new


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
