"""Imports: by a command, which continues an interrupted one, and as background jobs.

`steps` has what an import does.
"""

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
from memicos_dataset import read
from memicos_dataset.checks.rows import check_manifest
from memicos_dataset.conversion.formats import Format, format_of
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder, Location
from memicos_dataset.manifest import FILE_NAME, Manifest
from memicos_dataset.public_layout.metadata import MetadataOptions, missing_shape
from memicos_dataset.wording import quantity

from memicos_webapp.catalog.names import check_name
from memicos_webapp.database.connection import connect
from memicos_webapp.datasets import public_layout
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.datasets.rejects import Rejects
from memicos_webapp.datasets.running_import import ImportOptions, RunningImport
from memicos_webapp.datasets.steps import import_or_skip
from memicos_webapp.import_roots.access import permitted_folder
from memicos_webapp.import_roots.roots import parse_roots
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.jobs.runner import execute
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportReport:
    """Result of an import. `loaded`: rows were copied; false where all sources showed this dataset already."""

    manifest: Manifest
    loaded: bool
    features: int
    contexts: int
    seconds: float
    notes: list[str] = field(default_factory=list)
    """What happened to sources that the dataset lacks or that moved."""


async def add_import(connection: asyncpg.Connection, location: str, options: ImportOptions) -> int:
    """Queue an import of a dataset; returns the number of the job."""
    return await job_service.add(connection, IMPORT.name, absolute(Folder.of(location)), options.as_json())


async def load(location: Location, url: str, options: ImportOptions | None = None) -> ImportReport:
    """Import the dataset in the folder or at the URL `location` into the migrated database at `url` (`postgresql://…`).

    Continues an import of the same dataset that was interrupted.

    Raises:
        DatasetError: a file is missing or damaged, a row cannot be shown, or `options` do not allow what the import
            would change; pages do not change.
        JobCancelled: the import was cancelled from elsewhere; pages do not change.
    """
    started = time.perf_counter()
    options = options or ImportOptions()
    folder = Folder.of(location)
    native = await asyncio.to_thread(_is_native, folder)
    # a dataset that cannot be used begins no job
    dataset = await _open(folder) if native else None
    connection = await connect(url, "memicos-import")
    try:
        job_id = await _begin(connection, folder, dataset, options)
        run = JobRun(job_id, absolute(folder), options.as_json(), url, connection)
        dataset, loaded, notes = await execute(IMPORT, run, _import(run, dataset, folder))
    finally:
        await connection.close()
    features = sum(entry.rows for source in dataset.manifest.source_set.sources for entry in source.features)
    seconds = time.perf_counter() - started
    return ImportReport(dataset.manifest, loaded, features, dataset.manifest.corpus.contexts, seconds, notes)


@dataclass(frozen=True)
class _Dataset:
    """A dataset with a checked manifest, and the manifest's sha256."""

    folder: Folder
    manifest: Manifest
    sha256: str

    @property
    def subject(self) -> str:
        return f"{self.manifest.model.id}/{self.manifest.source_set.id}"


def _is_native(folder: Folder) -> bool:
    """Whether a folder is no other format; one without any data is read as a native one, and refused."""
    try:
        if folder.exists(FILE_NAME):
            return True
    except OSError as error:
        raise DatasetError(folder.root, f"cannot be read ({error})") from error
    try:
        return format_of(folder) is Format.NATIVE
    except DatasetError:
        return True


async def _open(folder: Folder) -> _Dataset:
    manifest = await asyncio.to_thread(read.read_manifest, folder)
    _check_names(folder, manifest)
    _check_known(folder, manifest)
    check_manifest(folder, manifest)
    sha256 = hashlib.sha256(await asyncio.to_thread(folder.read, FILE_NAME)).hexdigest()
    return _Dataset(folder, manifest, sha256)


async def _begin(
    connection: asyncpg.Connection, folder: Folder, dataset: _Dataset | None, options: ImportOptions
) -> int:
    """Start an interrupted job of this dataset or, before a conversion, of this location, else a new one; hold its
    lock."""
    if dataset is None:
        candidates = await jobs.interrupted_at(connection, absolute(folder))
    else:
        candidates = await jobs.interrupted(connection, dataset.subject, dataset.sha256)
    for interrupted in candidates:
        if not await jobs.try_lock(connection, interrupted):
            continue
        if await jobs.start(connection, interrupted):
            log.info("continuing the interrupted import, job %d", interrupted)
            return interrupted
        await jobs.unlock(connection, interrupted)
    new = await jobs.next_id(connection)
    # before others see its row, which without a lock would be of an interrupted job
    await jobs.try_lock(connection, new)
    await jobs.add(connection, new, IMPORT.name, absolute(folder), options.as_json(), background=False)
    await jobs.start(connection, new)
    if dataset:
        await jobs.describe(connection, new, dataset.subject, dataset.sha256)
    return new


def absolute(folder: Folder) -> str:
    """The location of a folder, whatever the working folder of the process that reads it."""
    return str(folder.root.resolve() if isinstance(folder.root, Path) else folder.root)


async def _run_job(run: JobRun, roots: str | None = None) -> None:
    folder = _folder(run, roots)
    dataset = await _open(folder) if await asyncio.to_thread(_is_native, folder) else None
    await _import(run, dataset, folder)


async def _import(run: JobRun, dataset: _Dataset | None, location: Folder) -> tuple[_Dataset, bool, list[str]]:
    """Import `dataset`, or what is at the job's location where that is converted first."""
    options = ImportOptions.from_json(run.options)
    rejects = await Rejects.read(run.connection, run.id, run.url, options.reject_limit)
    converted = _converted(run)
    if dataset is None:
        metadata = MetadataOptions(**options.metadata)
        await jobs.set_stage(run.connection, run.id, "converts the dataset")
        folder = await public_layout.convert(
            location, converted, options.sources, metadata, rejects, options.ignore_space
        )
        dataset = await _open(folder)
    await jobs.describe(run.connection, run.id, dataset.subject, dataset.sha256)
    running = RunningImport(
        dataset.folder,
        dataset.manifest,
        dataset.sha256,
        run.id,
        options,
        run.connection,
        run.progress,
        rejects,
        run.url,
    )
    loaded, notes = await import_or_skip(running)
    if not loaded:
        await jobs.add_line(run.connection, run.id, f"{dataset.subject} is loaded already: nothing was copied")
    await asyncio.to_thread(public_layout.delete, converted)
    if rejects.rows:
        notes.append(f"{quantity(len(rejects.rows), 'row')} left out: memicos jobs rejects {run.id}")
    return dataset, loaded, notes


def _folder(run: JobRun, roots: str | None) -> Folder:
    """The folder that an import reads. `roots`: those of the worker, which may have changed since it was added.

    Raises:
        DatasetError: a server added the import, and it is in none of the roots.
    """
    added_with = ImportOptions.from_json(run.options).roots
    if added_with is None:
        return Folder.of(run.location)
    try:
        return permitted_folder(parse_roots(added_with if roots is None else roots), run.location)
    except PermissionError as error:
        raise DatasetError(run.location, str(error)) from error


def _converted(run: JobRun) -> Path:
    options = ImportOptions.from_json(run.options)
    folder = options.conversions or Settings.model_fields["data"].default / "imports"
    return public_layout.work_folder(Path(folder), run.location, options.sources)


async def _clean_up(run: JobRun) -> None:
    await clean(run.connection, ImportOptions.from_json(run.options).retired_seconds)
    # an import of the same that was added later goes on with the conversion
    if not await jobs.is_wanted(run.connection, run.location):
        await asyncio.to_thread(public_layout.delete, _converted(run))


def import_kind(roots: str | None = None) -> JobKind:
    """Imports as jobs. Those that a server added read from `roots` only (None: from the roots that they were added
    with)."""
    return JobKind("import", partial(_run_job, roots=roots), refusals=(DatasetError,), after=_clean_up)


IMPORT = import_kind()


def _check_names(folder: Folder, manifest: Manifest) -> None:
    names = [manifest.model.id, manifest.release.id, manifest.source_set.id]
    for name in [*names, *(source.id for source in manifest.source_set.sources)]:
        problem = check_name(name)
        if problem:
            raise DatasetError(folder.locate(FILE_NAME), problem)


def _check_known(folder: Folder, manifest: Manifest) -> None:
    """Refuse a converted dataset without figures of its model that pages need."""
    model = manifest.model
    shape = {"layers": model.layers, "d_model": model.d_model, "vocabulary_size": model.vocabulary_size}
    if problem := missing_shape(shape):
        raise DatasetError(folder.locate(FILE_NAME), problem)
