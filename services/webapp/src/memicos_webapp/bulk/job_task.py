"""What jobs over many features share: progress with spend, the estimate before, failures that can be tried again."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from memicos_autointerp_core.bulk.estimate import Estimate, describe
from memicos_autointerp_core.bulk.run import Failure, Outcome
from memicos_autointerp_core.bulk.task import Task, progress_line, run_free_task, run_task
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from memicos_webapp.bulk.language_model import BulkModel, find_profile, read_provider_settings
from memicos_webapp.bulk.notes import JobNotes, Stopped
from memicos_webapp.bulk.options import BulkOptions
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobRun
from memicos_webapp.jobs.models import JobReject

Agree = Callable[[Estimate], Awaitable[bool]]
Key = TypeVar("Key")
Item = TypeVar("Item")


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


class JobTask:
    """Runs the task of a job, and records its progress.

    Args:
        what: name of the items in lines of progress.
        verb: what was done with an item, for the line of a job that was stopped.
    """

    def __init__(self, run: JobRun, database: Database, what: str, verb: str, notes: JobNotes) -> None:
        self._run, self._database, self._what, self._verb, self._notes = run, database, what, verb, notes
        # of a job that goes on after a batch; `progress.rows` is what it has done until then
        self._before = Outcome(run.progress.rows if run.continued else 0)

    async def failed_before(self) -> set[tuple[str, int]]:
        """Source and index of the features that have failed since the job was begun or resumed."""
        found = set(await failures(self._database, self._run.id)) if self._run.continued else set[tuple[str, int]]()
        self._before.failed = len(found)
        return found

    async def run(self, task: Task[Key, Item], model: BulkModel | None, agree: Agree) -> Outcome:
        """Do the task, with an estimate of its cost before unless `model` is None.

        Raises:
            Stopped: by the budget, a missing agreement, or a fault of the provider that every request has.
            Suspended: a batch was submitted, and the job is in the background.
        """
        before, meter = self._before, model.meter if model else None
        total = len(task.keys) + before.done + before.failed

        def line(outcome: Outcome) -> str:
            of_job = Outcome(before.done + outcome.done, before.failed + outcome.failed)
            return progress_line(of_job, total, meter, self._what)

        async def progress(outcome: Outcome) -> None:
            self._run.progress.rows = before.done + outcome.done
            await self._notes.progress(line(outcome), before.done + outcome.done, outcome.done)

        async def stated(found: Estimate) -> bool:
            assert model is not None
            await self._notes.line(describe(found, model.model, model.profile, self._what))
            return await agree(found)

        if model is None:
            outcome = await run_free_task(task, progress)
        elif model.batches is not None:
            # not above: it loads the openai library
            from memicos_autointerp_core.bulk.batch_run import run_batch_task

            outcome = await run_batch_task(
                task, model.batches, model.meter, model.model, stated, progress, model.samples, self._run.continued
            )
        else:
            outcome = await run_task(task, model.meter, model.profile, model.model, stated, progress, model.samples)
        await jobs.add_line(self._run.connection, self._run.id, line(outcome))
        if outcome.stopped:
            raise Stopped(f"{outcome.stopped} {self._verb}: {before.done + outcome.done:,} of {total:,}.")
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
