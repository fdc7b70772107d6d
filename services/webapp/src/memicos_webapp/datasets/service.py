"""The steps of an import.

1. Compare every file with the manifest's sha256, and decide about sources that are shown already (`plan`).
2. Add loads in state `staging`, then copy and check texts and features under their ids. Readers do not see them.
3. Mark the loads as `verified`.
4. In one transaction update the catalogue, replace the explanations that came with earlier loads, show the new loads
   and retire the old ones.
5. Delete what is no longer needed (`cleanup`).

Steps commit one by one, copying file by file. An import is a job (`memicos_webapp.jobs`): a killed one keeps its rows,
and is continued after its last complete file. A dataset that is refused leaves `failed` loads with the reason. Pages do
not change in either case. Explanations by users are kept.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from memicos_dataset import read
from memicos_dataset.checks import check_manifest
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder, Location
from memicos_dataset.manifest import FILE_NAME, FileEntry, Manifest

from memicos_webapp.catalog.models import LoadState
from memicos_webapp.catalog.names import check_name
from memicos_webapp.database.connection import connect
from memicos_webapp.datasets import load_states, locks, repository
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.datasets.plan import ImportPlan, MissingSources, plan_import
from memicos_webapp.datasets.progress import ImportCancelled, Progress, run_cancellable
from memicos_webapp.datasets.repository import StagedLoad
from memicos_webapp.datasets.rows import DatasetRows, Record
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs.models import JobState
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)

RETIRED_SECONDS: float = Settings.model_fields["retired_load_seconds"].default


@dataclass(frozen=True)
class ImportOptions:
    """Decisions about sources that are shown already, and how long retired loads stay for requests in progress."""

    missing: MissingSources = MissingSources.REFUSE
    move_sources: bool = False
    retired_seconds: float = RETIRED_SECONDS

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "missing": self.missing.value}

    @classmethod
    def from_json(cls, options: dict[str, Any]) -> "ImportOptions":
        return cls(**{**options, "missing": MissingSources(options["missing"])})


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


@dataclass(frozen=True)
class _Import:
    """A running import: its dataset, job, options and connection."""

    folder: Folder
    manifest: Manifest
    sha256: str
    job_id: int
    options: ImportOptions
    connection: asyncpg.Connection
    progress: Progress = field(default_factory=Progress)

    async def plan(self) -> ImportPlan:
        state = await repository.catalogue_state(self.connection, self.manifest)
        return plan_import(self.folder, self.manifest, state, self.options.missing, self.options.move_sources)


async def load(location: Location, url: str, options: ImportOptions | None = None) -> ImportReport:
    """Import the dataset in the folder or at the URL `location` into the migrated database at `url` (`postgresql://…`).

    Continues an import of the same dataset that was interrupted.

    Raises:
        DatasetError: a file is missing or damaged, a row cannot be shown, or `options` do not allow what the import
            would change; pages do not change.
        ImportCancelled: the import was cancelled from elsewhere; pages do not change.
    """
    return await _load(Folder.of(location), url, options or ImportOptions(), None)


async def run_job(job_id: int, location: str, url: str, options: ImportOptions) -> None:
    """Run a job of the queue, or continue it where it was interrupted. Its result is recorded in its row.

    A job that another process runs, or that has ended, is left alone. Raises the driver's errors where the database is
    lost: the job is continued later.
    """
    try:
        await _load(Folder.of(location), url, options, job_id)
    except DatasetError as error:
        log.warning("job %d: %s", job_id, error)
        await _finish(url, job_id, JobState.FAILED, str(error))
    except (ImportCancelled, JobTakenError) as error:
        log.info("job %d: %s", job_id, error or "cancelled")


class JobTakenError(Exception):
    """Another process runs the job, or it has ended."""


async def _load(folder: Folder, url: str, options: ImportOptions, job_id: int | None) -> ImportReport:
    started = time.perf_counter()
    manifest = await asyncio.to_thread(read.read_manifest, folder)
    _check_names(folder, manifest)
    _check_known(folder, manifest)
    check_manifest(folder, manifest)
    sha256 = hashlib.sha256(await asyncio.to_thread(folder.read, FILE_NAME)).hexdigest()
    connection = await connect(url, "memicos-import")
    try:
        job_id = await _begin(connection, folder, manifest, sha256, options, job_id)
        run = _Import(folder, manifest, sha256, job_id, options, connection)
        loaded, notes = await _run(run, url)
    finally:
        await connection.close()
    features = sum(entry.rows for source in manifest.source_set.sources for entry in source.features)
    seconds = time.perf_counter() - started
    return ImportReport(manifest, loaded, features, manifest.corpus.contexts, seconds, notes)


async def _begin(
    connection: asyncpg.Connection,
    folder: Folder,
    manifest: Manifest,
    sha256: str,
    options: ImportOptions,
    job_id: int | None,
) -> int:
    """Take the lock of the job: the given one, else an interrupted one of this dataset, else a new one.

    Raises:
        JobTakenError: the given job is run by another process, or has ended.
    """
    subject = f"{manifest.model.id}/{manifest.source_set.id}"
    if job_id is not None:
        if not (await jobs.try_lock(connection, job_id) and await jobs.start(connection, job_id, subject, sha256)):
            raise JobTakenError("another process runs it, or it has ended")
        return job_id
    for interrupted in await jobs.interrupted(connection, subject, sha256):
        if not await jobs.try_lock(connection, interrupted):
            continue
        if await jobs.start(connection, interrupted, subject, sha256):
            log.info("continuing the interrupted import, job %d", interrupted)
            return interrupted
        await jobs.unlock(connection, interrupted)
    new = await jobs.next_id(connection)
    # before others see its row, which without a lock would be of an interrupted job
    await jobs.try_lock(connection, new)
    await jobs.add(connection, new, absolute(folder), options.as_json(), background=False)
    await jobs.start(connection, new, subject, sha256)
    return new


def absolute(folder: Folder) -> str:
    """The location of a folder, whatever the working folder of the process that reads it."""
    return str(folder.root.resolve() if isinstance(folder.root, Path) else folder.root)


async def _run(run: _Import, url: str) -> tuple[bool, list[str]]:
    """Whether rows were copied, and notes for the user; records the result of the job."""
    try:
        result = await run_cancellable(url, run.job_id, run.progress, _import_or_skip(run))
    except ImportCancelled:
        await jobs.finish(run.connection, run.job_id, JobState.CANCELLED)
        await jobs.unlock(run.connection, run.job_id)
        await clean(run.connection, run.options.retired_seconds)
        raise
    except DatasetError as error:
        await _try_finish(run.connection, run.job_id, str(error))
        raise
    except asyncpg.PostgresError as error:
        # an administrator's shutdown, a lost connection: the job is continued later
        if not _is_lost(error):
            await _try_finish(run.connection, run.job_id, str(error))
        raise
    await jobs.finish(run.connection, run.job_id, JobState.DONE)
    return result


_LOST = ("08", "57P")
"""Classes of PostgreSQL's errors where the server or the connection ends."""


def _is_lost(error: Exception) -> bool:
    return str(getattr(error, "sqlstate", None) or "").startswith(_LOST)


async def _try_finish(connection: asyncpg.Connection, job_id: int, error: str) -> None:
    try:
        await jobs.finish(connection, job_id, JobState.FAILED, error)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as second:
        log.warning("the failure of job %d could not be recorded: %s", job_id, second)


async def _finish(url: str, job_id: int, state: JobState, error: str) -> None:
    connection = await connect(url, "memicos-import")
    try:
        await jobs.finish(connection, job_id, state, error)
    finally:
        await connection.close()


async def _import_or_skip(run: _Import) -> tuple[bool, list[str]]:
    connection, subject = run.connection, f"{run.manifest.model.id}/{run.manifest.source_set.id}"
    await locks.lock_set(connection, subject)
    await jobs.replace_interrupted(connection, subject, run.job_id)
    await clean(connection, run.options.retired_seconds)
    loaded = not await repository.is_shown(connection, run.manifest, run.sha256)
    notes = await (_import(run) if loaded else _retire_missing(run))
    await clean(connection, run.options.retired_seconds)
    if loaded:
        await repository.analyse(connection)
    return loaded, notes


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
    unknown = [name for name, value in shape.items() if value is None]
    if unknown:
        options = " ".join(f"--{name.replace('_', '-')} N" for name in unknown)
        raise DatasetError(
            folder.locate(FILE_NAME),
            f"model: the dataset does not say {', '.join(unknown)}; convert it again with {options}",
        )


async def _retire_missing(run: _Import) -> list[str]:
    """For a dataset that is shown already: retire the sources that it lacks, if the options say so."""
    if run.options.missing is MissingSources.REFUSE:
        return []
    async with run.connection.transaction():
        await locks.lock_catalogue(run.connection)
        plan = await run.plan()
        await load_states.flip(run.connection, {}, [source.id for source in plan.retire])
    return plan.notes


async def _import(run: _Import) -> list[str]:
    # refused before anything is copied; decided again when the loads are shown
    await run.plan()
    await asyncio.to_thread(read.verify, run.folder, run.manifest)
    loads = await repository.staged_loads(run.connection, run.manifest, run.job_id)
    if not loads:
        async with run.connection.transaction():
            await locks.lock_catalogue(run.connection)
            source_ids = await repository.add_missing_entries(run.connection, run.manifest)
            await repository.add_loads(run.connection, run.manifest, source_ids, run.sha256, run.job_id)
            await jobs.add_files(run.connection, run.job_id, run.manifest.files())
        loads = await repository.staged_loads(run.connection, run.manifest, run.job_id)
    try:
        if any(load.state == LoadState.STAGING for load in loads):
            await _copy(run, loads)
        return await _show(run, loads)
    except (DatasetError, asyncpg.PostgresError) as error:
        if not _is_lost(error):
            await _record_failure(run, [load.load_id for load in loads], error)
        raise


async def _copy(run: _Import, loads: list[StagedLoad]) -> None:
    """Copy and check every row. Texts are one transaction, and each further file is one, so that an interrupted import
    is continued at the file that was not complete."""
    connection = run.connection
    rows = await asyncio.to_thread(DatasetRows, run.folder, run.manifest)
    loaded = await jobs.loaded_files(connection, run.job_id)
    run.progress.rows = sum(entry.rows for entry in run.manifest.files() if entry.path in loaded)
    if any(load.corpus_id is None for load in loads):
        async with connection.transaction():
            await locks.share_corpus(connection)
            corpus_id = await _corpus(run, rows)
            await repository.set_corpus(connection, [load.load_id for load in loads], corpus_id)
            corpus = run.manifest.corpus
            texts = [corpus.documents, corpus.vocabulary, *corpus.context_files]
            await jobs.mark_loaded(connection, run.job_id, [entry.path for entry in texts])
    else:
        await asyncio.to_thread(rows.check_contexts)
    for source, load in zip(run.manifest.source_set.sources, loads, strict=True):
        rows.begin_source(source, await repository.stored_indices(connection, load.load_id))
        for entry in source.features:
            if entry.path not in loaded:
                await _copy_file(run, entry, "feature", rows.FEATURE, rows.features(source, entry, load.load_id))
        if source.explanations and source.explanations.path not in loaded:
            explanations = rows.explanations(source, load.load_id)
            await _copy_file(run, source.explanations, "staged_explanation", rows.EXPLANATION, explanations)
        log.info("%s/%s: %d features", run.manifest.model.id, source.id, rows.feature_count(source))
    await load_states.verify(connection, [load.load_id for load in loads])


async def _copy_file(
    run: _Import, entry: FileEntry, table: str, columns: tuple[str, ...], records: Iterator[Record]
) -> None:
    async with run.connection.transaction():
        await repository.copy(run.connection, table, columns, run.progress.records(records))
        await jobs.mark_loaded(run.connection, run.job_id, [entry.path])


async def _corpus(run: _Import, rows: DatasetRows) -> int:
    """The id of the dataset's corpus; it is copied unless another load has brought the same one."""
    connection, corpus = run.connection, run.manifest.corpus
    digest = hashlib.sha256(corpus.model_dump_json(exclude_defaults=True).encode()).hexdigest()
    corpus_id = await repository.add_corpus(connection, corpus, digest)
    if corpus_id is None:
        # examples are checked against the contexts
        await asyncio.to_thread(rows.check_contexts)
        return await repository.corpus_id(connection, digest)
    documents, contexts = rows.documents(corpus_id), rows.contexts(corpus_id)
    await repository.copy(connection, "document", rows.DOCUMENT, run.progress.records(documents))
    await repository.copy(connection, "context", rows.CONTEXT, run.progress.records(contexts))
    return corpus_id


async def _show(run: _Import, loads: list[StagedLoad]) -> list[str]:
    connection = run.connection
    async with connection.transaction():
        await locks.lock_catalogue(connection)
        plan = await run.plan()
        await repository.update_entries(connection, run.manifest)
        await repository.merge_explanations(connection, [load.load_id for load in loads])
        await load_states.flip(
            connection,
            {load.source_id: load.load_id for load in loads},
            [source.id for source in plan.retire],
        )
        await repository.delete_failed_loads(connection, [load.source_id for load in loads])
    return plan.notes


async def _record_failure(run: _Import, load_ids: list[int], error: Exception) -> None:
    try:
        async with run.connection.transaction():
            await load_states.fail(run.connection, load_ids, str(error))
        await clean(run.connection, run.options.retired_seconds)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as second:
        # the connection is lost: the next clean-up deletes the loads of this import
        log.warning("the failure of the import could not be recorded: %s", second)
