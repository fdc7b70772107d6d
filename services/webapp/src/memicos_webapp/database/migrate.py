"""Alembic migrations, run by the first process that starts."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from memicos_webapp.database.connection import create_engine
from memicos_webapp.database.connection_errors import describe
from memicos_webapp.database.errors import DatabaseError

log = logging.getLogger(__name__)

LOCK = 0x6D656D69
"""Key of the advisory lock ("memi" in ASCII): one process migrates, the others wait."""
OLDEST_POSTGRESQL = 16
"""Major version of the oldest PostgreSQL that is supported."""


def config() -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return settings


def check_revision_known(revision: str, name: str) -> None:
    """
    Raises:
        DatabaseError: `name`, the database or a backup, has a revision that this memicos does not know.
    """
    scripts = ScriptDirectory.from_config(config())
    if revision not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseError(
            f"{name} was migrated by a newer memicos (revision {revision}, this one knows up to "
            f"{scripts.get_current_head()}). Update memicos (git pull && make setup, or a newer image), or restore a "
            "backup from before into another database (memicos db restore FILE)"
        )


def _upgrade(connection: Connection) -> None:
    scripts = ScriptDirectory.from_config(config())
    head = scripts.get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return
    if current is not None:
        check_revision_known(current, "the database")
    log.info("migrating the database from revision %s to %s", current or "none", head)
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


async def prepare(url: str, read_only: bool) -> None:
    """Make the database at `url` ready to be served: `migrate` it, or with `read_only` only check its revision.

    Raises:
        DatabaseError: it cannot be used, or is read-only and not of the newest revision.
    """
    await (_connected(url, _check_revision) if read_only else migrate(url))


async def migrate(url: str) -> None:
    """Bring the database at `url` to the newest revision.

    Raises:
        DatabaseError: it cannot be reached, is too old, or was migrated by a newer memicos.
    """
    await _connected(url, _migrate)


async def _connected(url: str, action: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    """Run `action` in a transaction.

    Raises:
        DatabaseError: the database cannot be reached, refuses a statement or is too old.
    """
    engine = create_engine(url, "memicos-migrate", {}, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            version = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
            if version // 10000 < OLDEST_POSTGRESQL:
                raise DatabaseError(f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed; this is {version // 10000}")
            await action(connection)
    except (OSError, DBAPIError) as error:
        raise DatabaseError(describe(error, url)) from error
    finally:
        await engine.dispose()


async def _migrate(connection: AsyncConnection) -> None:
    # held to the end of the transaction
    if not await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK}):
        log.info("another process migrates the database; waiting for it")
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    await connection.run_sync(_upgrade)


async def _check_revision(connection: AsyncConnection) -> None:
    def current_revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    current = await connection.run_sync(current_revision)
    head = ScriptDirectory.from_config(config()).get_current_head()
    if current is not None:
        check_revision_known(current, "the database")
    if current != head:
        raise DatabaseError(
            f"the database is at revision {current or 'none'}, this memicos needs {head}, and a read-only server "
            "(MEMICOS_READ_ONLY) migrates nothing. Run `memicos db migrate` with a role that may write"
        )


def _of_memicos(name: str | None, kind: str, parents: object) -> bool:
    """Whether a name is of memicos; tables of PgQueuer have no models."""
    return not (kind == "table" and name is not None and name.startswith("pgqueuer"))


def differences(connection: Connection) -> list[str]:
    """Differences between the models and the migrated database, one line each."""
    from memicos_webapp.database.tables import metadata

    opts = {"compare_type": True, "compare_server_default": True, "include_name": _of_memicos}
    context = MigrationContext.configure(connection, opts=opts)
    return [str(difference) for difference in compare_metadata(context, metadata)]
