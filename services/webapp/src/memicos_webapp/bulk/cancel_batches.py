"""The job `cancel-batches`: cancels the batches of a cancelled job at the provider, and stores what they have answered.

It is added where a job that explains or scores features is cancelled while a batch is open.
"""

from memicos_webapp.bulk.language_model import open_model, read_provider_settings
from memicos_webapp.bulk.notes import JobNotes
from memicos_webapp.bulk.options import BulkOptions
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import Fault
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobKind, JobRun, Suspended
from memicos_webapp.jobs.models import JobState
from memicos_webapp.settings import read


async def add_where_open(run: JobRun) -> None:
    """Queue the cancellation of the batches of a job that has ended, if it was cancelled and has any, unless one is
    queued or runs."""
    async with run.connection.transaction():
        # several processes may find the job cancelled
        await run.connection.execute("SELECT FROM job WHERE id = $1 FOR NO KEY UPDATE", run.id)
        job = await jobs.get(run.connection, run.id)
        if job is None or job["state"] != JobState.CANCELLED or not job["batches"]:
            return
        options = {"job": run.id}
        if not await jobs.has_unfinished(run.connection, CANCEL_BATCHES.name, options):
            await job_service.add(run.connection, CANCEL_BATCHES.name, run.location, options)


async def _run(run: JobRun) -> None:
    """
    Raises:
        Stopped: the provider does not say how the batches are; the job can be resumed.
        Suspended: they are being cancelled, or another process uses the job.
        BadInput, NotConfigured: the profile of the job cannot be used.
    """
    number = run.options["job"]
    settings = read_provider_settings()
    # so that the job is not resumed meanwhile
    locked = await jobs.try_lock(run.connection, number)
    job = await jobs.get(run.connection, number)
    notes = JobNotes(run, lambda line: None)
    if job is None or job["state"] != JobState.CANCELLED:
        await notes.line(f"job {number} was resumed, and goes on with its batches")
        return
    if not locked:
        if not run.continued:
            await notes.line(f"another process uses job {number}; its batches are cancelled after that")
        raise Suspended(settings.batch_poll_seconds)
    if not run.continued:
        await notes.line(f"the batches of job {number} are being cancelled; what they have answered is paid, and kept")
    database = Database(run.url, read("cancel-batches"))
    try:
        options = BulkOptions.from_json(jobs.options(job))
        async with open_model(settings, options, database, number, notes) as model:
            await model.finish_open(cancel=True, interrupted=False)
        await jobs.add_line(run.connection, number, f"its batches are closed by job {run.id}")
    finally:
        await database.close()


CANCEL_BATCHES = JobKind("cancel-batches", _run, refusals=(Fault,))
