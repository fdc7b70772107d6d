"""The steps of an import.

1. Compare every file with the manifest's sha256, and decide about sources that are shown already (`plan`).
2. Add loads in state `staging`, then copy and check texts and features under their ids. Readers do not see them.
3. Mark the loads as `verified`.
4. In one transaction update the catalogue, replace the explanations that came with earlier loads, show the new loads
   and retire the old ones.
5. Delete what is no longer needed (`cleanup`).

Steps commit one by one. A dataset that is refused leaves `failed` loads with the reason; an import that is killed
leaves staging loads, which the next clean-up recognises by the missing lock and deletes. Pages do not change in
either case. Explanations by users are kept.
"""

import hashlib
import logging
import time
from dataclasses import dataclass, field

import asyncpg
from memicos_dataset import read
from memicos_dataset.checks import check_manifest
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder, Location
from memicos_dataset.manifest import FILE_NAME, Manifest

from memicos_webapp.catalog.names import check_name
from memicos_webapp.database.connection import connect
from memicos_webapp.datasets import load_states, locks, repository
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.datasets.plan import ImportPlan, MissingSources, plan_import
from memicos_webapp.datasets.rows import DatasetRows
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)

RETIRED_SECONDS: float = Settings.model_fields["retired_load_seconds"].default


@dataclass(frozen=True)
class ImportOptions:
    """Decisions about sources that are shown already, and how long retired loads stay for requests in progress."""

    missing: MissingSources = MissingSources.REFUSE
    move_sources: bool = False
    retired_seconds: float = RETIRED_SECONDS


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
    """A running import: its dataset, number, options and connection."""

    folder: Folder
    manifest: Manifest
    sha256: str
    import_id: int
    options: ImportOptions
    connection: asyncpg.Connection

    async def plan(self) -> ImportPlan:
        state = await repository.catalogue_state(self.connection, self.manifest)
        return plan_import(self.folder, self.manifest, state, self.options.missing, self.options.move_sources)


async def load(location: Location, url: str, options: ImportOptions | None = None) -> ImportReport:
    """Import the dataset in the folder or at the URL `location` into the migrated database at `url` (`postgresql://…`).

    Raises:
        DatasetError: a file is missing or damaged, a row cannot be shown, or `options` do not allow what the import
            would change; pages do not change.
    """
    started = time.perf_counter()
    folder = Folder.of(location)
    manifest = read.read_manifest(folder)
    _check_names(folder, manifest)
    _check_known(folder, manifest)
    check_manifest(folder, manifest)
    sha256 = hashlib.sha256(folder.read(FILE_NAME)).hexdigest()
    options = options or ImportOptions()
    connection = await connect(url, "memicos-import")
    try:
        import_id = await locks.begin_import(connection, manifest.model.id, manifest.source_set.id)
        await clean(connection, options.retired_seconds)
        run = _Import(folder, manifest, sha256, import_id, options, connection)
        loaded = not await repository.is_shown(connection, manifest, sha256)
        notes = await (_import(run) if loaded else _retire_missing(run))
        await clean(connection, options.retired_seconds)
        if loaded:
            await repository.analyse(connection)
    finally:
        await connection.close()
    features = sum(entry.rows for source in manifest.source_set.sources for entry in source.features)
    seconds = time.perf_counter() - started
    return ImportReport(manifest, loaded, features, manifest.corpus.contexts, seconds, notes)


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
    read.verify(run.folder, run.manifest)
    async with run.connection.transaction():
        await locks.lock_catalogue(run.connection)
        source_ids = await repository.add_missing_entries(run.connection, run.manifest)
        load_ids = await repository.add_loads(run.connection, run.manifest, source_ids, run.sha256, run.import_id)
    try:
        await _copy(run, source_ids, load_ids)
        return await _show(run, source_ids, load_ids)
    except (DatasetError, asyncpg.PostgresError) as error:
        await _record_failure(run, list(load_ids.values()), error)
        raise


async def _copy(run: _Import, source_ids: dict[str, int], load_ids: dict[str, int]) -> None:
    """Copy texts, features and explanations, each source in a transaction of its own, and check every row."""
    connection = run.connection
    rows = DatasetRows(run.folder, run.manifest)
    async with connection.transaction():
        await locks.share_corpus(connection)
        corpus_id = await _corpus(run, rows)
        await repository.set_corpus(connection, list(load_ids.values()), corpus_id)
    await repository.create_incoming_explanations(connection)
    for source in run.manifest.source_set.sources:
        async with connection.transaction():
            features = rows.features(source, load_ids[source.id])
            await repository.copy(connection, "feature", rows.FEATURE, features)
            explanations = rows.explanations(source, source_ids[source.id])
            await repository.copy(connection, "incoming", rows.EXPLANATION, explanations)
        log.info("%s/%s: %d features", run.manifest.model.id, source.id, rows.feature_count(source))
    await load_states.verify(connection, load_ids.values())


async def _corpus(run: _Import, rows: DatasetRows) -> int:
    """The id of the dataset's corpus; it is copied unless another load has brought the same one."""
    connection, corpus = run.connection, run.manifest.corpus
    digest = hashlib.sha256(corpus.model_dump_json(exclude_defaults=True).encode()).hexdigest()
    corpus_id = await repository.add_corpus(connection, corpus, digest)
    if corpus_id is None:
        # examples are checked against the contexts
        rows.check_contexts()
        return await repository.corpus_id(connection, digest)
    await repository.copy(connection, "document", rows.DOCUMENT, rows.documents(corpus_id))
    await repository.copy(connection, "context", rows.CONTEXT, rows.contexts(corpus_id))
    return corpus_id


async def _show(run: _Import, source_ids: dict[str, int], load_ids: dict[str, int]) -> list[str]:
    connection = run.connection
    async with connection.transaction():
        await locks.lock_catalogue(connection)
        plan = await run.plan()
        await repository.update_entries(connection, run.manifest)
        await repository.merge_explanations(connection, list(source_ids.values()))
        await load_states.flip(
            connection,
            {source_ids[name]: load_id for name, load_id in load_ids.items()},
            [source.id for source in plan.retire],
        )
        await repository.delete_failed_loads(connection, list(source_ids.values()))
    return plan.notes


async def _record_failure(run: _Import, load_ids: list[int], error: Exception) -> None:
    try:
        async with run.connection.transaction():
            await load_states.fail(run.connection, load_ids, str(error))
        await clean(run.connection, run.options.retired_seconds)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as second:
        # the connection is lost: the next clean-up deletes the loads of this import
        log.warning("the failure of the import could not be recorded: %s", second)
