"""What jobs over many features share: progress with spend, the estimate before, failures that can be tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from memicos_autointerp_core.bulk.estimate import Estimate, describe
from memicos_autointerp_core.bulk.run import Failure, Outcome
from memicos_autointerp_core.bulk.task import Task, progress_line, run_free_task, run_task
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from memicos_webapp.bulk.language_model import BulkModel, find_profile, read_provider_settings
from memicos_webapp.bulk.options import BulkOptions
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, Fault
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobRun
from memicos_webapp.jobs.models import Job, JobReject

Agree = Callable[[Estimate], Awaitable[bool]]
Report = Callable[[str], None]
Key = TypeVar("Key")
Item = TypeVar("Item")


class Stopped(Fault):
    """A job ended before all features were done; what it has stored stays, and it can be resumed."""

    status = 409


async def always_agree(found: Estimate) -> bool:
    """Of a job without a user to ask: its budget limits the cost."""
    return True


def check_budget(options: BulkOptions) -> None:
    """
    Raises:
        BadInput: there is no budget, and the language model has a price.
        NotConfigured: the file of profiles is wrong.
    """
    profile, model = find_profile(read_provider_settings(), options)
    if options.budget is None and profile.cost(model, 1, 1):
        raise BadInput(f"Name a budget: {model} of the profile {profile.name} has a price.")


async def next_attempt(connection: asyncpg.Connection, failed_in: int | None, kind: str) -> int:
    """The attempt after that of the job whose failures are tried again; 0 for None.

    Raises:
        NotFound: there is no such job.
        BadInput: it is of another kind.
    """
    if failed_in is None:
        return 0
    job = await job_service.get(connection, failed_in)
    if job["kind"] != kind:
        raise BadInput(f"Job {failed_in} is {job['kind']}, not {kind}.")
    return BulkOptions.from_json(jobs.options(job)).attempt + 1


async def paid_before(database: Database, job_id: int) -> float:
    """US dollars that earlier attempts of a job have paid."""
    async with database.snapshot() as session:
        return await session.scalar(select(Job.paid).where(Job.id == job_id)) or 0.0


class JobTask:
    """Runs the task of a job, and records its progress.

    Args:
        run: the job; on its connection one statement runs at a time.
        what: name of the items in lines of progress.
        verb: what was done with an item, for the line of a job that was stopped.
        report: is called with lines of progress.
    """

    def __init__(self, run: JobRun, database: Database, what: str, verb: str, report: Report) -> None:
        self._run, self._database, self._what, self._verb, self._report = run, database, what, verb, report
        self._connection = asyncio.Lock()

    async def begin(self, line: str) -> None:
        """State what the job does."""
        async with self._connection:
            await jobs.set_stage(self._run.connection, self._run.id, line)
        self._report(line)

    async def run(self, task: Task[Key, Item], model: BulkModel | None, agree: Agree) -> Outcome:
        """Do the task, with an estimate of its cost before unless `model` is None.

        Raises:
            Stopped: by the budget, a missing agreement, or a fault of the provider that every request has.
        """
        total, meter = len(task.keys), model.meter if model else None

        async def progress(outcome: Outcome) -> None:
            self._run.progress.rows = outcome.done
            line = progress_line(outcome, total, meter, self._what)
            async with self._connection:
                await jobs.set_stage(self._run.connection, self._run.id, line, log=False)
                await jobs.note_items(self._run.connection, self._run.id, outcome.done)
            self._report(line)

        async def stated(found: Estimate) -> bool:
            assert model is not None
            line = describe(found, model.model, model.profile, self._what)
            async with self._connection:
                await jobs.add_line(self._run.connection, self._run.id, line)
            self._report(line)
            return await agree(found)

        if model is None:
            outcome = await run_free_task(task, progress)
        else:
            outcome = await run_task(task, model.meter, model.profile, model.model, stated, progress)
        await jobs.add_line(self._run.connection, self._run.id, progress_line(outcome, total, meter, self._what))
        if outcome.stopped:
            raise Stopped(f"{outcome.stopped} {self._verb}: {outcome.done:,} of {total:,}.")
        return outcome

    async def fail(self, source: SourceInfo, index: int, failure: Failure[Item]) -> None:
        """List a feature that failed."""
        values = {
            "job_id": self._run.id,
            "file": source.name,
            "line": index,
            "column": failure.cause,
            "reason": failure.message.replace("\0", "␀"),
        }
        async with self._database.transaction() as session:
            await session.execute(insert(JobReject).values(values).on_conflict_do_nothing())


async def failures(database: Database, job_id: int) -> dict[tuple[str, int], str]:
    """Cause of each failure that a job listed, by source and feature."""
    statement = select(JobReject.file, JobReject.line, JobReject.column).where(JobReject.job_id == job_id)
    async with database.snapshot() as session:
        return {(file, line): column for file, line, column in await session.execute(statement)}
