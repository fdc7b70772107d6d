"""`memicos worker`, or `python -m memicos_webapp.worker`: runs background jobs of every kind."""

import asyncio
import logging
import os
import signal
import sys

import typer
from memicos_service import logs

from memicos_webapp.bulk.explain import EXPLAIN
from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import IMPORT, import_kind
from memicos_webapp.jobs.worker import work
from memicos_webapp.settings import read
from memicos_webapp.stored_sources.delete import DELETE
from memicos_webapp.stored_sources.export_job import EXPORT
from memicos_webapp.stored_sources.verify import VERIFY

KINDS = (IMPORT, VERIFY, DELETE, EXPORT, EXPLAIN)
NICENESS = 10

log = logging.getLogger(__name__)


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def run_worker() -> None:
    """Run background jobs until SIGTERM or Ctrl-C, at a low priority (nice 10); jobs of different kinds side by side.

    A job that runs then, or whose worker is killed, is continued by the next worker at the file where it was. With
    MEMICOS_READ_ONLY it runs no job.
    """
    settings = read("worker")
    logs.configure(settings.log_format, logging.INFO, {"alembic": logging.WARNING, "pgqueuer": logging.WARNING})
    os.nice(NICENESS)

    async def idle() -> None:
        # a program that ended would be started again and again
        log.info("MEMICOS_READ_ONLY is set, so there are no jobs to run")
        await stop_signal().wait()

    async def run(url: str) -> None:
        stop = stop_signal()
        await migrate(url)
        log.info("the worker is ready")
        # roots of this process, not of the one that added the job
        kinds = (import_kind(settings.import_roots), *(kind for kind in KINDS if kind is not IMPORT))
        await work(url, stop, kinds, settings.job_attempts, settings.jobs_per_kind)

    if settings.read_only:
        asyncio.run(idle())
        return
    try:
        with database_url(settings) as url:
            asyncio.run(run(url))
    except DatabaseError as error:
        sys.exit(f"worker: {error}")


if __name__ == "__main__":
    typer.run(run_worker)
