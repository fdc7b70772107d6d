"""SQL of embeddings: written over a plain asyncpg connection, counted in a session."""

from collections.abc import Sequence
from dataclasses import dataclass

from asyncpg import Connection
from memicos_embeddings.embedder import Vectors
from pgvector.asyncpg import register_vector
from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateIndex

from memicos_webapp.catalog.models import Source
from memicos_webapp.embeddings.models import EMBEDDING_TABLES, EmbeddingMiniLm, EmbeddingOpenAi
from memicos_webapp.explanations.models import Explanation

LOCK = 0x656D6264
"""Key of the advisory lock ("embd" in ASCII): one process embeds at a time, others wait."""


async def prepare(connection: Connection) -> None:
    """Wait for the lock, held until the connection closes, and register the vector type."""
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    await register_vector(connection)


async def choose_embedder(connection: Connection, key: str) -> None:
    """Make `key` the active embedder of the sources that have none."""
    await connection.execute("UPDATE source SET active_embedder = $1 WHERE active_embedder IS NULL", key)


async def sources_of(connection: Connection, key: str) -> list[int]:
    rows = await connection.fetch("SELECT id FROM source WHERE active_embedder = $1", key)
    return [row["id"] for row in rows]


async def all_sources(connection: Connection) -> list[int]:
    return [row["id"] for row in await connection.fetch("SELECT id FROM source")]


def _table(key: str) -> Table:
    table = EMBEDDING_TABLES[key].__table__
    assert isinstance(table, Table)
    return table


async def counts(connection: Connection, key: str, sources: Sequence[int]) -> tuple[int, int]:
    """(explanations of the sources without a vector of this embedder, all vectors of this embedder)."""
    row = await connection.fetchrow(
        f"""SELECT (SELECT count(*) FROM explanation WHERE source_id = ANY($1)
                    AND NOT EXISTS (SELECT FROM {_table(key).name} WHERE explanation_id = explanation.id)) AS missing,
                   (SELECT count(*) FROM {_table(key).name}) AS present""",  # noqa: S608 (names of our tables)
        sources,
    )
    assert row is not None
    return row["missing"], row["present"]


async def missing(
    connection: Connection, key: str, sources: Sequence[int], after_id: int, limit: int
) -> list[tuple[int, str]]:
    """(id, text) of the next explanations without a vector whose id is above `after_id`, ordered by id."""
    rows = await connection.fetch(
        f"""SELECT id, description FROM explanation
            WHERE source_id = ANY($1) AND id > $2
              AND NOT EXISTS (SELECT FROM {_table(key).name} WHERE explanation_id = explanation.id)
            ORDER BY id LIMIT $3""",  # noqa: S608 (names of our tables)
        sources,
        after_id,
        limit,
    )
    return [(row["id"], row["description"]) for row in rows]


async def add(connection: Connection, key: str, ids: Sequence[int], vectors: Vectors) -> None:
    """Store vectors in one transaction. Explanations deleted in the meantime are skipped."""
    await connection.executemany(
        f"""INSERT INTO {_table(key).name} (explanation_id, source_id, vector)
            SELECT id, source_id, $2 FROM explanation WHERE id = $1 FOR KEY SHARE
            ON CONFLICT DO NOTHING""",  # noqa: S608 (names of our tables)
        list(zip(ids, vectors, strict=True)),
    )


async def switch(connection: Connection, key: str, sources: Sequence[int]) -> None:
    """Make `key` the active embedder of these sources, and delete their vectors of other embedders."""
    async with connection.transaction():
        await connection.execute("UPDATE source SET active_embedder = $1 WHERE id = ANY($2)", key, sources)
        for embedder in EMBEDDING_TABLES:
            if embedder != key:
                await connection.execute(
                    f"DELETE FROM {_table(embedder).name} WHERE source_id = ANY($1)",  # noqa: S608 (names of our tables)
                    sources,
                )


def _index_name(key: str) -> str:
    return f"ix_{_table(key).name}_vector"


async def drop_index(connection: Connection, key: str) -> None:
    await connection.execute(f"DROP INDEX IF EXISTS {_index_name(key)}")


async def make_index(connection: Connection, key: str) -> None:
    """Build the index for nearest neighbours unless it exists. Blocks writes to this table until it is built."""
    (index,) = (index for index in _table(key).indexes if index.name == _index_name(key))
    statement = str(CreateIndex(index, if_not_exists=True).compile(dialect=postgresql.dialect()))
    async with connection.transaction():
        # a build that does not fit in memory is many times slower; parallel workers need shared
        # memory that containers lack
        await connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
        await connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
        await connection.execute(statement)


async def analyse(connection: Connection, key: str) -> None:
    await connection.execute(f"ANALYZE {_table(key).name}")


@dataclass(frozen=True)
class Coverage:
    """How many of a source's explanations have a vector of its active embedder."""

    source_id: int
    embedder: str | None
    embedded: int
    total: int


async def coverage(session: AsyncSession) -> dict[int, Coverage]:
    """Coverage of every source, by source id."""
    totals = await _counts_by_source(session, Explanation)
    embedded = {key: await _counts_by_source(session, table) for key, table in EMBEDDING_TABLES.items()}
    sources = await session.execute(select(Source.id, Source.active_embedder))
    return {
        row.id: Coverage(
            row.id, row.active_embedder, embedded.get(row.active_embedder, {}).get(row.id, 0), totals.get(row.id, 0)
        )
        for row in sources
    }


async def _counts_by_source(
    session: AsyncSession, table: type[Explanation | EmbeddingMiniLm | EmbeddingOpenAi]
) -> dict[int, int]:
    rows = await session.execute(select(table.source_id, func.count().label("rows")).group_by(table.source_id))
    return {row.source_id: row.rows for row in rows}
