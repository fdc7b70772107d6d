"""The job `export`, and its files as a tar archive that is made while it is sent."""

import asyncio
import re
import shutil
import tarfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import asyncpg

from memicos_webapp.errors import Fault
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.settings import Settings, variable
from memicos_webapp.stored_sources import selection
from memicos_webapp.stored_sources.export import ExportFormat, export, write_errors

CHUNK_BYTES = 1 << 20
_BLOCK, _END = 512, bytes(1024)
_UNFINISHED = re.compile(r"\.([0-9]+)\.export")


async def add(connection: asyncpg.Connection, address: str, kind: ExportFormat, settings: Settings) -> int:
    """Queue the export of `model/source` or `model/set`; returns the number of the job.

    Raises:
        NotFound: there is no such source.
    """
    chosen = await selection.select(connection, address)
    options = {"format": kind.value, "folder": str(settings.exports.resolve()), "days": settings.export_days}
    return await job_service.add(connection, EXPORT.name, chosen.label, options)


async def _run(run: JobRun) -> None:
    chosen = await selection.select(run.connection, run.location)
    await jobs.describe(run.connection, run.id, chosen.label)
    await jobs.set_stage(run.connection, run.id, f"writes the {run.options['format']} format")
    folder = Path(run.options["folder"])
    elsewhere = f"set {variable('export_folder')} of webapp and worker to another folder and export again"
    # stored at the end: reports come from threads, and while the snapshot's transaction is open
    lines: list[str] = []
    with write_errors(folder, elsewhere):
        await _prepare(run, folder)
        await export(run.connection, chosen, folder / str(run.id), ExportFormat(run.options["format"]), lines.append)
    for line in lines:
        await jobs.add_line(run.connection, run.id, line)


async def _prepare(run: JobRun, folder: Path) -> None:
    """Make the folder of exports, and delete old ones in it."""
    # for its owner alone: it may have sources that pages do not show to everybody
    await asyncio.to_thread(folder.mkdir, 0o700, parents=True, exist_ok=True)
    # listed first: what another worker begins meanwhile is not in the list
    paths = await asyncio.to_thread(lambda: list(folder.iterdir()))
    await asyncio.to_thread(_delete_old, paths, run.options["days"], await jobs.running(run.connection))


def _delete_old(paths: Collection[Path], days: float, running: Collection[int]) -> None:
    """Delete exports that are older than `days`, and what is left of exports whose process was killed: unfinished ones
    of jobs that are not in `running`."""
    for path in paths:
        unfinished = _UNFINISHED.fullmatch(path.name)
        left = unfinished and int(unfinished[1]) not in running
        if left or (path.name.isdecimal() and _is_older(path, days)):
            shutil.rmtree(path, ignore_errors=True)


def _is_older(path: Path, days: float) -> bool:
    try:
        return path.stat().st_mtime < time.time() - 86_400 * days
    except FileNotFoundError:
        # another export has deleted it
        return False


EXPORT = JobKind("export", _run, refusals=(Fault,))


class Archive:
    """The files below a folder as a tar archive, below the folder `name` in it; never as a whole in memory or on disk.

    `length`: bytes of the archive.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """
        Raises:
            OSError: a file cannot be read.
        """
        self._entries: list[tuple[Path, int, bytes]] = []
        for path in sorted(own for own in folder.rglob("*") if own.is_file()):
            info = tarfile.TarInfo(f"{name}/{path.relative_to(folder).as_posix()}")
            status = path.stat()
            with path.open("rb"):
                # known before the status is sent
                pass
            info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o644
            self._entries.append((path, info.size, info.tobuf(tarfile.PAX_FORMAT)))
        self.length = len(_END) + sum(len(header) + size + _padding(size) for _, size, header in self._entries)

    def __iter__(self) -> Iterator[bytes]:
        for path, size, header in self._entries:
            yield header
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
            yield bytes(_padding(size))
        yield _END


def _padding(size: int) -> int:
    return -size % _BLOCK
