"""The steps of an import.

1. Compare every file with the manifest's sha256, and decide about sources that are shown already (`plan`).
2. Add loads in state `staging`, then copy and check texts and features under their ids. Readers do not see them.
3. Let PostgreSQL compute the digests of the stored rows, compare them with those of the rows that were read
   (`verification`), and mark the loads as `verified`.
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
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg
from memicos_dataset import read
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FileEntry, Manifest

from memicos_webapp.catalog.models import LoadState
from memicos_webapp.datasets import load_states, locks, repository
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.datasets.plan import ImportPlan, MissingSources, plan_import
from memicos_webapp.datasets.preview import check_space
from memicos_webapp.datasets.rejects import Rejects
from memicos_webapp.datasets.repository import StagedLoad
from memicos_webapp.datasets.stored_rows import verification
from memicos_webapp.datasets.stored_rows.binary_copy import Chunk
from memicos_webapp.datasets.stored_rows.rows import DatasetRows, Record
from memicos_webapp.datasets.stored_rows.verification import StoredLoad
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs.progress import Progress
from memicos_webapp.jobs.runner import is_lost
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)

RETIRED_SECONDS: float = Settings.model_fields["retired_load_seconds"].default


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Decisions about sources that are shown already, and how long retired loads stay for requests in progress."""

    missing: MissingSources = MissingSources.REFUSE
    move_sources: bool = False
    retired_seconds: float = RETIRED_SECONDS
    reject_limit: int = 0
    """Rows that may be left out."""
    conversions: str = ""
    """Folder for conversions of the public layout."""
    sources: tuple[str, ...] = ()
    """Sources of the public layout; empty: all."""
    ignore_space: bool = False
    """Whether the import begins although there may be too little space."""
    roots: str | None = None
    """MEMICOS_IMPORT_ROOTS of a server that added the import; None: a command, which may read everything."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the public layout may not say: fields of `MetadataOptions`."""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "missing": self.missing.value}

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> "ImportOptions":
        return cls(
            **{**options, "missing": MissingSources(options["missing"]), "sources": tuple(options.get("sources", ()))}
        )


@dataclass(frozen=True)
class RunningImport:
    """A running import: its dataset, job, options and connection."""

    folder: Folder
    manifest: Manifest
    sha256: str
    job_id: int
    options: ImportOptions
    connection: asyncpg.Connection
    progress: Progress
    rejects: Rejects

    async def plan(self) -> ImportPlan:
        state = await repository.catalogue_state(self.connection, self.manifest)
        return plan_import(self.folder, self.manifest, state, self.options.missing, self.options.move_sources)


async def import_or_skip(run: RunningImport) -> tuple[bool, list[str]]:
    """Import the dataset unless it is shown already; returns whether rows were copied, and notes for the user."""
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


async def _retire_missing(run: RunningImport) -> list[str]:
    """For a dataset that is shown already: retire the sources that it lacks, if the options say so."""
    if run.options.missing is MissingSources.REFUSE:
        return []
    async with run.connection.transaction():
        await locks.lock_catalogue(run.connection)
        plan = await run.plan()
        await load_states.flip(run.connection, {}, [source.id for source in plan.retire])
    return plan.notes


async def _import(run: RunningImport) -> list[str]:
    # refused before anything is copied; decided again when the loads are shown
    await run.plan()
    await jobs.set_stage(run.connection, run.job_id, "compares the files with the manifest")
    await asyncio.to_thread(read.verify, run.folder, run.manifest)
    # of an attempt on other files
    await repository.delete_other_loads(run.connection, run.job_id, run.sha256)
    loads = await repository.staged_loads(run.connection, run.manifest, run.job_id)
    if not loads:
        if not run.options.ignore_space:
            await check_space(run.connection, run.folder, run.manifest)
        async with run.connection.transaction():
            await locks.lock_catalogue(run.connection)
            source_ids = await repository.add_missing_entries(run.connection, run.manifest)
            await repository.keep_manifest(run.connection, run.manifest, run.sha256)
            await repository.add_loads(run.connection, run.manifest, source_ids, run.sha256, run.job_id)
            await file_repository.add_files(run.connection, run.job_id, run.manifest.files())
        loads = await repository.staged_loads(run.connection, run.manifest, run.job_id)
    try:
        if any(load.state == LoadState.STAGING for load in loads):
            await _copy(run, loads)
            await _verify(run)
        return await _show(run, loads)
    except (DatasetError, asyncpg.PostgresError) as error:
        if not is_lost(error):
            await _record_failure(run, [load.load_id for load in loads], error)
        raise


async def _copy(run: RunningImport, loads: list[StagedLoad]) -> None:
    """Copy and check every row. Texts are one transaction, and each further file is one, so that an interrupted import
    is continued at the file that was not complete."""
    connection = run.connection
    await jobs.set_stage(connection, run.job_id, "copies rows")
    rows = await asyncio.to_thread(DatasetRows, run.folder, run.manifest, run.rejects.add)
    loaded = await file_repository.loaded_files(connection, run.job_id)
    run.progress.rows = sum(entry.rows for entry in run.manifest.files() if entry.path in loaded)
    if any(load.corpus_id is None for load in loads):
        async with connection.transaction():
            await locks.share_corpus(connection)
            corpus_id = await _corpus(run, rows)
            await repository.set_corpus(connection, [load.load_id for load in loads], corpus_id)
            corpus = run.manifest.corpus
            texts = [corpus.documents, corpus.vocabulary, *corpus.context_files]
            await file_repository.mark_loaded(connection, run.job_id, [entry.path for entry in texts])
    else:
        await asyncio.to_thread(rows.check_contexts)
    for source, load in zip(run.manifest.source_set.sources, loads, strict=True):
        rows.begin_source(source, await repository.stored_indices(connection, load.load_id))
        for entry in source.features:
            if entry.path not in loaded:
                await _copy_features(run, rows, entry, rows.features(source, entry, load.load_id))
        if source.explanations and source.explanations.path not in loaded:
            explanations = rows.explanations(source, load.load_id)
            await _copy_file(run, rows, source.explanations, "staged_explanation", rows.EXPLANATION, explanations)
        if source.scores and source.scores.path not in loaded:
            scores = rows.scores(source, load.load_id)
            await _copy_file(run, rows, source.scores, "staged_score", rows.SCORE, scores)
        line = f"{run.manifest.model.id}/{source.id}: {rows.feature_count(source):,} features"
        log.info(line)
        await jobs.add_line(connection, run.job_id, line)
        await repository.count_features(connection, load.load_id, rows.feature_count(source))
        for part, entries in (
            (verification.FEATURES, source.features),
            (verification.EXPLANATIONS, [source.explanations] if source.explanations else []),
        ):
            stored = await file_repository.stored(connection, run.job_id, [entry.path for entry in entries])
            await verification.note_part(connection, load.load_id, part, *stored)


async def _verify(run: RunningImport) -> None:
    """Compare what PostgreSQL has stored with the rows that were read.

    Raises:
        DatasetError: they differ.
    """
    connection = run.connection
    await jobs.set_stage(connection, run.job_id, "verifies the stored rows")
    loads = await _stored_loads(run)
    found = [
        f"{load.name}: {problem}"
        for load in loads
        for problem in await verification.problems(connection, load, (verification.FEATURES,))
    ]
    for corpus_id in {load.corpus_id for load in loads}:
        found += await verification.corpus_problems(connection, corpus_id)
    if found:
        raise DatasetError(run.folder.root, f"was not stored as it was read: {'; '.join(found)}")
    await load_states.verify(connection, [load.load_id for load in loads])


async def _stored_loads(run: RunningImport) -> list[StoredLoad]:
    loads = await repository.staged_loads(run.connection, run.manifest, run.job_id)
    model = run.manifest.model.id
    return [
        StoredLoad(load.load_id, load.source_id, load.corpus_id, f"{model}/{load.name}")
        for load in loads
        if load.corpus_id is not None
    ]


async def _copy_features(run: RunningImport, rows: DatasetRows, entry: FileEntry, chunks: Iterator[Chunk]) -> None:
    async with run.connection.transaction():
        await repository.copy_binary(run.connection, "feature", rows.FEATURE, run.progress.chunks(chunks))
        await file_repository.mark_loaded(
            run.connection, run.job_id, [entry.path], rows.stored.rows, rows.stored.digest
        )


async def _copy_file(
    run: RunningImport,
    rows: DatasetRows,
    entry: FileEntry,
    table: str,
    columns: tuple[str, ...],
    records: Iterator[Record],
) -> None:
    async with run.connection.transaction():
        await repository.copy(run.connection, table, columns, run.progress.records(records))
        stored = rows.stored
        await file_repository.mark_loaded(run.connection, run.job_id, [entry.path], stored.rows, stored.digest)


async def _corpus(run: RunningImport, rows: DatasetRows) -> int:
    """The id of the dataset's corpus; it is copied unless another load has brought the same one."""
    connection, corpus = run.connection, run.manifest.corpus
    digest = hashlib.sha256(corpus.model_dump_json(exclude_defaults=True).encode()).hexdigest()
    corpus_id = await repository.add_corpus(connection, corpus, digest)
    if corpus_id is None:
        corpus_id = await repository.corpus_id(connection, digest)
        if await repository.has_digest(connection, corpus_id):
            # examples are checked against the contexts
            await asyncio.to_thread(rows.check_contexts)
            return corpus_id
        await asyncio.to_thread(lambda: deque(rows.contexts(corpus_id), maxlen=0))
    else:
        documents, contexts = rows.documents(corpus_id), rows.contexts(corpus_id)
        await repository.copy(connection, "document", rows.DOCUMENT, run.progress.records(documents))
        await repository.copy_binary(connection, "context", rows.CONTEXT, run.progress.chunks(contexts))
    await repository.set_digest(connection, corpus_id, rows.stored.digest)
    vocabulary = run.progress.records(rows.vocabulary(corpus_id))
    await repository.copy(connection, "vocabulary", rows.VOCABULARY, vocabulary)
    return corpus_id


async def _show(run: RunningImport, loads: list[StagedLoad]) -> list[str]:
    connection = run.connection
    await jobs.set_stage(connection, run.job_id, "shows the sources")
    stored = await _stored_loads(run)
    async with connection.transaction():
        await locks.lock_catalogue(connection)
        plan = await run.plan()
        await repository.update_entries(connection, run.manifest)
        load_ids = [load.load_id for load in loads]
        await repository.merge_explanations(connection, stored)
        await repository.replace_scores(connection, stored)
        await repository.delete_staged(connection, load_ids)
        await verification.note_scores(connection, stored)
        for load in stored:
            found = await verification.problems(connection, load, (verification.EXPLANATIONS,))
            if found:
                raise DatasetError(run.folder.root, f"{load.name} was not stored as it was read: {'; '.join(found)}")
            await verification.note_result(connection, load.load_id, [])
        await load_states.flip(
            connection,
            {load.source_id: load.load_id for load in loads},
            [source.id for source in plan.retire],
        )
        await repository.delete_failed_loads(connection, [load.source_id for load in loads])
    return plan.notes


async def _record_failure(run: RunningImport, load_ids: list[int], error: Exception) -> None:
    try:
        async with run.connection.transaction():
            await load_states.fail(run.connection, load_ids, str(error))
        await clean(run.connection, run.options.retired_seconds)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as second:
        # the connection is lost: the next clean-up deletes the loads of this import
        log.warning("the failure of the import could not be recorded: %s", second)
