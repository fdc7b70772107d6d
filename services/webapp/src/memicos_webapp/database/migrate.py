"""Alembic migrations, run by the first process that starts."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from memicos_webapp.database.connection_errors import describe
from memicos_webapp.database.embedded import DatabaseError
from memicos_webapp.database.engine import driver_url

LOCK = 0x6D656D69
"""Key of the advisory lock ("memi" in ASCII): one process migrates, the others wait."""


def config() -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return settings


def _upgrade(connection: Connection) -> None:
    scripts = ScriptDirectory.from_config(config())
    head = scripts.get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseError(
            f"the database was migrated by a newer memicos (revision {current}); "
            "update memicos, or use another database"
        )
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


async def migrate(url: str) -> None:
    """Bring the database at `url` to the newest revision.

    Raises:
        DatabaseError: it cannot be reached, is too old, or was migrated by a newer memicos.
    """
    engine = create_async_engine(driver_url(url), poolclass=NullPool)
    try:
        await _migrate(engine)
    except (OSError, DBAPIError) as error:
        raise DatabaseError(describe(error, url)) from error
    finally:
        await engine.dispose()


async def _migrate(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        # held to the end of the transaction
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        version = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
        if version < 160000:
            raise DatabaseError(f"PostgreSQL 16 or newer is needed; this is {version // 10000}")
        await connection.run_sync(_upgrade)


def differences(connection: Connection) -> list[str]:
    """Differences between the models and the migrated database, one line each."""
    from memicos_webapp.database.tables import metadata

    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return [str(difference) for difference in compare_metadata(context, metadata)]
