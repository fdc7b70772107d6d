"""Migrations make the tables that the models describe, once, whoever comes first."""

import asyncio

import pytest
from memicos_webapp.database.check import check
from memicos_webapp.database.embedded import DatabaseError
from memicos_webapp.database.migrate import migrate
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine


async def test_migrations_match_the_models(fresh_url: str) -> None:
    assert await check(fresh_url) == []


async def test_migrating_twice_at_once_is_harmless(fresh_url: str) -> None:
    await asyncio.gather(*(migrate(fresh_url) for _ in range(3)))


async def test_a_database_of_a_newer_memicos_is_refused(fresh_url: str) -> None:
    engine = create_async_engine(fresh_url.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    with pytest.raises(DatabaseError, match="migrated by a newer memicos"):
        await migrate(fresh_url)
