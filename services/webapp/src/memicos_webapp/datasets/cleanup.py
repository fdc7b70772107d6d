"""Deletion of rows that are no longer read: loads of interrupted imports, retired loads, and rows that only they used.

Every import is a job, whose advisory lock it holds while it runs. A staging or verified load is deleted only if its
job has ended, failed or was cancelled, and nobody holds the lock: never rows of a running import, nor of an interrupted
one that may still be continued.
"""

import logging
from dataclasses import dataclass

from asyncpg import Connection
from memicos_dataset.wording import quantity

from memicos_webapp.datasets import locks
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)

INTERRUPTED_SECONDS: float = Settings.model_fields["interrupted_import_seconds"].default


@dataclass(frozen=True)
class Deleted:
    """Numbers of deleted loads."""

    interrupted: int
    retired: int

    def __bool__(self) -> bool:
        return self.interrupted > 0 or self.retired > 0


async def clean(
    connection: Connection, retired_seconds: float, interrupted_seconds: float = INTERRUPTED_SECONDS
) -> Deleted:
    """Delete loads of imports that have ended, and loads that were retired longer than `retired_seconds` ago.

    Loads of an interrupted import are kept for `interrupted_seconds`, so that the import can be continued.

    Then delete corpora without loads, and entries of the catalogue that only an interrupted import added.
    """
    # rows are visible only after their import took its lock, so a missing lock means that the import has ended
    await jobs.cancel_abandoned(connection, interrupted_seconds)
    interrupted = await connection.fetch(
        f"""DELETE FROM load USING (SELECT id, state AS job_state, {jobs.LOCKED} AS active FROM job) AS job
            WHERE job.id = load.import_id AND load.state IN ('staging', 'verified')
              AND NOT job.active AND job.job_state NOT IN ('queued', 'running')
            RETURNING load.id"""  # noqa: S608 (constants)
    )
    # of versions without jobs
    interrupted += await connection.fetch(
        """DELETE FROM load WHERE state IN ('staging', 'verified')
             AND NOT EXISTS (SELECT FROM job WHERE job.id = load.import_id) RETURNING id"""
    )
    retired = await connection.fetch(
        """DELETE FROM load WHERE state = 'retired' AND retired_at <= now() - make_interval(secs => $1)
           RETURNING id""",
        retired_seconds,
    )
    async with connection.transaction():
        if await locks.try_lock_corpus(connection):
            await connection.execute(
                "DELETE FROM corpus WHERE NOT EXISTS (SELECT FROM load WHERE load.corpus_id = corpus.id)"
            )
    async with connection.transaction():
        if await locks.try_lock_catalogue(connection):
            await _delete_unused_catalogue(connection)
            await connection.execute(
                """DELETE FROM dataset_manifest
                   WHERE NOT EXISTS (SELECT FROM load WHERE load.manifest_sha256 = dataset_manifest.sha256)"""
            )
    deleted = Deleted(len(interrupted), len(retired))
    if deleted:
        interrupted_imports = quantity(deleted.interrupted, "interrupted load")
        log.info("clean-up: deleted %s, %s", interrupted_imports, quantity(deleted.retired, "retired load"))
    return deleted


async def _delete_unused_catalogue(connection: Connection) -> None:
    """Delete sources without loads and explanations, then sets, models and releases without sources.

    Entries with an owner, and models with vectors, are kept: a user made them. So are entries that are not public, as
    another import would add them as public ones.
    """
    await connection.execute(
        """DELETE FROM source WHERE owner_id IS NULL AND visibility = 'public'
             AND NOT EXISTS (SELECT FROM load WHERE load.source_id = source.id)
             AND NOT EXISTS (SELECT FROM explanation WHERE explanation.source_id = source.id)"""
    )
    await connection.execute(
        """DELETE FROM source_set WHERE owner_id IS NULL AND visibility = 'public'
             AND NOT EXISTS (SELECT FROM source WHERE source.source_set_id = source_set.id)"""
    )
    await connection.execute(
        """DELETE FROM model WHERE owner_id IS NULL AND visibility = 'public'
             AND NOT EXISTS (SELECT FROM source_set WHERE source_set.model_id = model.id)
             AND NOT EXISTS (SELECT FROM user_vector WHERE user_vector.model_id = model.id)"""
    )
    await connection.execute(
        """DELETE FROM release WHERE owner_id IS NULL AND visibility = 'public'
             AND NOT EXISTS (SELECT FROM source_set WHERE source_set.release_id = release.id)"""
    )
