"""The steps of an import.

1. Compare every file with the manifest's sha256, and decide about sources that are shown already (`plan`).
2. Add loads in state `staging`, then copy and check texts and features under their ids (`copying`). Readers do not see
   them. Meanwhile PostgreSQL computes the digests of the rows that are stored, which are compared with those of the
   rows that were read (`verification`). Mark the loads as `verified`.
3. In one transaction, which begins before the rows are copied, copy explanations and scores, or replace those that
   came with earlier loads (`copying`), update the catalogue, show the new loads and retire the old ones.
4. Delete what is no longer needed (`cleanup`).

Steps commit one by one, copying file by file. An import is a job (`memicos_webapp.jobs`): a killed one keeps its rows,
and is continued after its last complete file. A dataset that is refused leaves `failed` loads with the reason. Pages do
not change in either case. Explanations by users are kept.
"""

import asyncio
import logging

import asyncpg
from asyncpg import Connection
from memicos_dataset import read
from memicos_dataset.errors import DatasetError

from memicos_webapp.catalog.models import LoadState
from memicos_webapp.database.connection import opened
from memicos_webapp.database.errors import DRIVER_ERRORS
from memicos_webapp.datasets import load_states, locks, repository
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.datasets.copying import copy_rows, not_as_read, replace_explanations
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.datasets.preview import check_space
from memicos_webapp.datasets.repository import StagedLoad
from memicos_webapp.datasets.running_import import RunningImport
from memicos_webapp.datasets.stored_rows import verification
from memicos_webapp.datasets.stored_rows.rows import DatasetRows
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs.runner import is_lost

log = logging.getLogger(__name__)


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
        await repository.analyse_catalogue(connection)
    return loaded, notes


async def _retire_missing(run: RunningImport) -> list[str]:
    """For a dataset that is shown already: retire the sources that it lacks, if the options say so."""
    if run.options.missing is MissingSources.REFUSE:
        return []
    async with run.connection.transaction():
        await locks.lock_catalogue(run.connection)
        plan = await run.plan(run.connection)
        await load_states.flip(run.connection, {}, [source.id for source in plan.retire])
    return plan.notes


async def _import(run: RunningImport) -> list[str]:
    # refused before anything is copied; decided again when the loads are shown
    await run.plan(run.connection)
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
        async with (
            opened(run.url, "memicos-import") as feature_connection,
            opened(run.url, "memicos-import") as show_connection,
            show_connection.transaction(),
        ):
            await repository.allow_waiting(show_connection)
            await locks.lock_sources(show_connection, [load.source_id for load in loads])
            # decided again: an import that held them may have shown them in another set
            await run.plan(show_connection)
            rows = await asyncio.to_thread(DatasetRows, run.folder, run.manifest, run.rejects.add)
            copied = await copy_rows(run, rows, loads, feature_connection, show_connection)
            if copied.problems:
                raise not_as_read(run, copied.problems)
            staging = [load.load_id for load in loads if load.state == LoadState.STAGING]
            await load_states.verify(run.connection, staging)
            return await _show(run, show_connection, rows, loads, copied.explained)
    except (DatasetError, asyncpg.PostgresError) as error:
        if not is_lost(error):
            await _record_failure(run, [load.load_id for load in loads], error)
        raise


async def _show(
    run: RunningImport, connection: Connection, rows: DatasetRows, loads: list[StagedLoad], explained: set[int]
) -> list[str]:
    """Show the loads in the transaction of `connection`, after the explanations of those that are not `explained` are
    replaced; returns notes for the user."""
    for source, load in zip(run.manifest.source_set.sources, await run.stored_loads(), strict=True):
        if load.load_id not in explained:
            await replace_explanations(run, connection, rows, source, load)
        await verification.note_result(connection, load.load_id, [])
    await locks.lock_catalogue(connection)
    plan = await run.plan(connection)
    await repository.update_entries(connection, run.manifest)
    await load_states.flip(
        connection,
        {load.source_id: load.load_id for load in loads},
        [source.id for source in plan.retire],
    )
    await repository.delete_failed_loads(connection, [load.source_id for load in loads])
    # its connection holds the import's locks, without which another worker may have begun to do the same
    await run.connection.execute("SELECT 1")
    return plan.notes


async def _record_failure(run: RunningImport, load_ids: list[int], error: Exception) -> None:
    try:
        async with run.connection.transaction():
            await load_states.fail(run.connection, load_ids, str(error))
        await clean(run.connection, run.options.retired_seconds)
    except (asyncpg.PostgresError, *DRIVER_ERRORS, OSError) as second:
        # the connection is lost: the next clean-up deletes the loads of this import
        log.warning("the failure of the import could not be recorded: %s", second)
