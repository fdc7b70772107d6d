"""Databases of older versions of the webapp."""

from collections.abc import Callable

from alembic import command
from alembic.config import Config
from memicos_webapp.database.migrate import config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine


async def upgrade(url: str, revision: str) -> None:
    """Migrate a database to a revision of the schema, which is not below its own."""
    await _change(url, command.upgrade, revision)


async def downgrade(url: str, revision: str) -> None:
    """Take back the migrations after a revision of the schema."""
    await _change(url, command.downgrade, revision)


async def _change(url: str, change: Callable[[Config, str], None], revision: str) -> None:
    def run(connection: Connection) -> None:
        settings = config()
        settings.attributes["connection"] = connection
        change(settings, revision)

    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()
