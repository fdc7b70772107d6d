"""The program of the worker: its settings and database, the kinds of jobs, and the end by a signal."""

import asyncio
import logging
import os
import signal
import sys

from memicos_service import logs

from memicos_webapp.bulk.cancel_batches import CANCEL_BATCHES
from memicos_webapp.bulk.explain import EXPLAIN
from memicos_webapp.bulk.score import SCORE
from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import IMPORT, import_kind
from memicos_webapp.jobs.worker import work
from memicos_webapp.settings import read
from memicos_webapp.stored_sources.delete import DELETE
from memicos_webapp.stored_sources.export_job import EXPORT
from memicos_webapp.stored_sources.verify import VERIFY

KINDS = (IMPORT, VERIFY, DELETE, EXPORT, EXPLAIN, SCORE, CANCEL_BATCHES)
NICENESS = 10

log = logging.getLogger(__name__)


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def main() -> None:
    """Run background jobs until SIGTERM or Ctrl-C."""
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
    # exit through the `with` below, which stops PostgreSQL
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        with database_url(settings) as url:
            try:
                asyncio.run(run(url))
            finally:
                # a second signal does not interrupt the stop of PostgreSQL
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: None)
    except DatabaseError as error:
        sys.exit(f"worker: {error}")
