"""Databases for measurements of imports: a new PostgreSQL, whose databases begin migrated and empty."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate

ROWS = ("document", "vocabulary", "context", "feature", "explanation", "score")
"""Tables whose rows an import brings, in the order in which they can be copied."""


def named(server: str, name: str) -> str:
    """The URL of a database of the server."""
    return server.replace("/postgres?", f"/{name}?")


@asynccontextmanager
async def new_server() -> AsyncIterator[str]:
    """A server of which the database `empty` has been migrated."""
    with temporary(durable=True) as server:
        await _execute(server, "CREATE DATABASE empty")
        await migrate(named(server, "empty"))
        yield server


async def copy_database(server: str, name: str, template: str = "empty") -> str:
    """Make a database as `template` is, and end what PostgreSQL has to write; returns its URL."""
    await _execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    await _execute(server, "CHECKPOINT")
    return named(server, name)


async def size(connection: asyncpg.Connection, tables: Sequence[str] = ROWS) -> int:
    """Bytes of the rows that imports brought, with their indexes."""
    size = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest($1::text[]) AS name", list(tables)
    )
    return int(size or 0)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
