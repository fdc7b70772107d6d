"""SQL statements on the webapp's database, without the webapp."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


async def counts(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    tables = ("source", "load", "feature", "corpus", "document", "context", "explanation")
    try:
        return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in tables}  # noqa: S608
    finally:
        await connection.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def fetch(url: str, sql: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *values)
    finally:
        await connection.close()


async def shown_rows(url: str) -> list[tuple[object, ...]]:
    """The rows that readers see: sources with their current loads, texts and numbers of features."""
    rows = await fetch(
        url,
        """SELECT source.model_id, source.name, source.layer, load.id, load.state, load.corpus_id,
             (SELECT count(*) FROM feature WHERE load_id = load.id),
             (SELECT count(*) FROM context WHERE corpus_id = load.corpus_id),
             (SELECT array_agg(id ORDER BY id) FROM explanation WHERE source_id = source.id)
           FROM source JOIN load ON load.id = source.current_load_id ORDER BY source.id""",
    )
    return [tuple(row) for row in rows]


async def states(url: str) -> list[str]:
    return [row["state"] for row in await fetch(url, "SELECT state FROM load ORDER BY id")]


async def execute(url: str, sql: str, *values: object) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql, *values)
    finally:
        await connection.close()
