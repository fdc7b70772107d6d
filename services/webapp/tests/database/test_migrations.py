"""Migrations create the tables that the models describe, once, even if several processes start at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from alembic import command
from memicos_webapp.database.check import check
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import config, migrate
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


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


async def test_loads_of_an_older_database_get_states(server_url: str) -> None:
    url = server_url.replace("/postgres?", "/older?")
    async with connected(server_url) as connection:
        await connection.execute("CREATE DATABASE older")
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))

    def run(connection: Connection, upgrade: bool, revision: str) -> None:
        settings = config()
        settings.attributes["connection"] = connection
        (command.upgrade if upgrade else command.downgrade)(settings, revision)

    async with engine.begin() as connection:
        await connection.run_sync(run, True, "0003")
        for statement in OLDER.split(";"):
            await connection.execute(text(statement))
    async with engine.begin() as connection:
        await connection.run_sync(run, True, "0004")
    async with engine.begin() as connection:
        rows = await connection.execute(text("SELECT id, state::text, retired_at IS NULL FROM load ORDER BY id"))
        assert [tuple(row) for row in rows] == [(1, "retired", False), (2, "shown", True), (3, "retired", False)]
        await connection.run_sync(run, False, "0003")
        assert (await connection.execute(text("SELECT id FROM load"))).scalars().all() == [2]
    await engine.dispose()


OLDER = """
INSERT INTO model (id, name, layers, d_model, vocabulary_size, chat, origin, license)
  VALUES ('m', '', 1, 1, 1, false, '', '');
INSERT INTO release (id, name, description, creator) VALUES ('r', '', '', '');
INSERT INTO source_set (model_id, name, release_id, title, description) VALUES ('m', 's', 'r', '', '');
INSERT INTO source (model_id, name, source_set_id, layer)
  SELECT 'm', layer || '-s', 1, layer FROM generate_series(0, 1) AS layer;
INSERT INTO corpus (name, digest, description, contexts, context_size, tokens, collections)
  VALUES ('c', '', '', 1, 1, 1, '[]');
INSERT INTO load (source_id, corpus_id, manifest_sha256, features, dead_features, counted_tokens, architecture, d_in,
  d_sae, logit_effect, recipe) SELECT source, 1, '', 1, 0, 1, '', 1, 1, '', '{}' FROM unnest(ARRAY[1, 1, 2]) AS source;
UPDATE source SET current_load_id = 2 WHERE id = 1
"""
