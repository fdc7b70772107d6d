"""SQL of vectors: writing them over a bare asyncpg connection, and counting them for readers."""

from collections.abc import Sequence
from dataclasses import dataclass

from asyncpg import Connection
from pgvector.asyncpg import register_vector
from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateIndex

from memicos_webapp.catalog.models import Source
from memicos_webapp.embeddings.embedders import Vectors
from memicos_webapp.explanations.models import EMBEDDINGS, Explanation

LOCK = 0x656D6264
"""Advisory lock ("embd"): one process embeds at a time, others wait."""


async def prepare(connection: Connection) -> None:
    """Wait for the right to embed, which is held until the connection closes, and let it send vectors."""
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    await register_vector(connection)


async def choose_embedder(connection: Connection, key: str) -> None:
    """Give the sources that have no embedder this one."""
    await connection.execute("UPDATE source SET active_embedder = $1 WHERE active_embedder IS NULL", key)


async def sources_of(connection: Connection, key: str) -> list[int]:
    rows = await connection.fetch("SELECT id FROM source WHERE active_embedder = $1", key)
    return [row["id"] for row in rows]


async def all_sources(connection: Connection) -> list[int]:
    return [row["id"] for row in await connection.fetch("SELECT id FROM source")]


def _table(key: str) -> Table:
    table = EMBEDDINGS[key].__table__
    assert isinstance(table, Table)
    return table


async def counts(connection: Connection, key: str, sources: Sequence[int]) -> tuple[int, int]:
    """How many explanations of the sources have no vector of this embedder, and how many vectors it has in all."""
    row = await connection.fetchrow(
        f"""SELECT (SELECT count(*) FROM explanation WHERE source_id = ANY($1)
                    AND NOT EXISTS (SELECT FROM {_table(key).name} WHERE explanation_id = explanation.id)) AS missing,
                   (SELECT count(*) FROM {_table(key).name}) AS present""",  # noqa: S608 (names of our tables)
        sources,
    )
    assert row is not None
    return row["missing"], row["present"]


async def missing(
    connection: Connection, key: str, sources: Sequence[int], after: int, limit: int
) -> list[tuple[int, str]]:
    """(id, text) of explanations without a vector, by id, from the first after `after` on."""
    rows = await connection.fetch(
        f"""SELECT id, description FROM explanation
            WHERE source_id = ANY($1) AND id > $2
              AND NOT EXISTS (SELECT FROM {_table(key).name} WHERE explanation_id = explanation.id)
            ORDER BY id LIMIT $3""",  # noqa: S608 (names of our tables)
        sources,
        after,
        limit,
    )
    return [(row["id"], row["description"]) for row in rows]


async def add(connection: Connection, key: str, ids: Sequence[int], vectors: Vectors) -> None:
    """Store vectors in one transaction; explanations that were deleted meanwhile are left out."""
    await connection.executemany(
        f"""INSERT INTO {_table(key).name} (explanation_id, source_id, vector)
            SELECT id, source_id, $2 FROM explanation WHERE id = $1 FOR KEY SHARE
            ON CONFLICT DO NOTHING""",  # noqa: S608 (names of our tables)
        list(zip(ids, vectors, strict=True)),
    )


async def switch(connection: Connection, key: str, sources: Sequence[int]) -> None:
    """Let these sources be searched with this embedder's vectors, and drop those of the others."""
    async with connection.transaction():
        await connection.execute("UPDATE source SET active_embedder = $1 WHERE id = ANY($2)", key, sources)
        for other in EMBEDDINGS:
            if other != key:
                await connection.execute(
                    f"DELETE FROM {_table(other).name} WHERE source_id = ANY($1)",  # noqa: S608 (names of our tables)
                    sources,
                )


def _nearest(key: str) -> str:
    return f"ix_{_table(key).name}_vector"


async def drop_index(connection: Connection, key: str) -> None:
    await connection.execute(f"DROP INDEX IF EXISTS {_nearest(key)}")


async def make_index(connection: Connection, key: str) -> None:
    """Build the index for nearest neighbours where it is not there; writers of this table wait meanwhile."""
    (index,) = (index for index in _table(key).indexes if index.name == _nearest(key))
    statement = str(CreateIndex(index, if_not_exists=True).compile(dialect=postgresql.dialect()))
    async with connection.transaction():
        # a build that does not fit is many times slower; workers would need shared memory that containers lack
        await connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
        await connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
        await connection.execute(statement)


async def analyse(connection: Connection, key: str) -> None:
    await connection.execute(f"ANALYZE {_table(key).name}")


@dataclass(frozen=True)
class Coverage:
    """How far a source's explanations have vectors of its active embedder."""

    source_id: int
    embedder: str | None
    embedded: int
    total: int


async def coverage(session: AsyncSession) -> dict[int, Coverage]:
    """Of every source, by its id."""
    totals = select(Explanation.source_id, func.count()).group_by(Explanation.source_id)
    total = {row[0]: row[1] for row in await session.execute(totals)}
    embedded: dict[str, dict[int, int]] = {}
    for key, model in EMBEDDINGS.items():
        rows = await session.execute(select(model.source_id, func.count()).group_by(model.source_id))
        embedded[key] = {row[0]: row[1] for row in rows}
    sources = await session.execute(select(Source.id, Source.active_embedder))
    return {
        row[0]: Coverage(row[0], row[1], embedded.get(row[1] or "", {}).get(row[0], 0), total.get(row[0], 0))
        for row in sources
    }
