"""What a job over many features writes into its row and its log, and prints in a terminal."""

import asyncio
from collections.abc import Callable

from memicos_autointerp_core.bulk.stored_batches import BatchCallbacks

from memicos_webapp.errors import Fault
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs.kinds import JobRun, Suspended

Report = Callable[[str], None]


class Stopped(Fault):
    """A job ended before all features were done; what it has stored stays, and it can be resumed."""

    status = 409


class JobNotes:
    """Notes of a job.

    Args:
        run: the job; on its connection one statement runs at a time.
        report: is called with lines of progress.
    """

    def __init__(self, run: JobRun, report: Report) -> None:
        self._run, self._report = run, report
        self._connection = asyncio.Lock()
        self._progress = self._batch = ""

    async def line(self, line: str) -> None:
        """Add a line to the log."""
        async with self._connection:
            await jobs.add_line(self._run.connection, self._run.id, line)
        self._report(line)

    async def stage(self, line: str) -> None:
        """State what the job does now, in the log too."""
        async with self._connection:
            await jobs.set_stage(self._run.connection, self._run.id, line)
        self._report(line)

    async def progress(self, line: str, done: int, of_run: int) -> None:
        """State how far the job is; the numbers are those of `jobs.repository.note_items`."""
        # the wait for a batch takes hours, in which nothing changes
        new, self._progress = line != self._progress, line
        async with self._connection:
            await self._set_stage()
            await jobs.note_items(self._run.connection, self._run.id, done, of_run)
        if new:
            self._report(line)

    async def _set_stage(self) -> None:
        stage = "; ".join(part for part in (self._progress, self._batch) if part)
        await jobs.set_stage(self._run.connection, self._run.id, stage, log=False)

    def batch_callbacks(self, poll_seconds: float) -> BatchCallbacks:
        """What the job does while it waits for a batch: in the background it is suspended."""

        async def log_line(line: str) -> None:
            self._batch = ""
            await self.line(line)

        async def show_progress(line: str) -> None:
            if self._run.background:
                # the job is run again at each question, and does not count then
                self._progress = ""
            new, self._batch = line != self._batch, line
            async with self._connection:
                await self._set_stage()
            if new:
                self._report(line)

        async def wait_for_next_poll() -> None:
            if self._run.background:
                raise Suspended(poll_seconds)
            await asyncio.sleep(poll_seconds)

        return BatchCallbacks(
            log_line, show_progress, wait_for_next_poll, "Cancel the job to delete the record of the batch."
        )
