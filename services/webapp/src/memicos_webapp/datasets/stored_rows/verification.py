"""Verification of stored sources: rows and digests are compared with those that their import noted.

An import notes what it made of the manifest's files: the rows of each part, and their digests (`row_digests`), computed
before PostgreSQL had them. Verification lets PostgreSQL compute them again from what it stores now.
"""

from dataclasses import dataclass
from decimal import Decimal

from asyncpg import Connection

from memicos_webapp.datasets.stored_rows import row_digests

FEATURES, EXPLANATIONS, SCORES = "features", "explanations", "scores"

_PARTS = {
    FEATURES: (row_digests.FEATURES_SQL, "load_id"),
    EXPLANATIONS: (row_digests.EXPLANATIONS_SQL, "source_id"),
    SCORES: (row_digests.SCORES_SQL, "source_id"),
}
"""Statement of each part, and the column of a load that it takes."""


_PARALLEL = (
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "min_parallel_table_scan_size",
    "min_parallel_index_scan_size",
)
"""Settings that are 0 while PostgreSQL computes digests of many rows. It counts the pages of a table without those of
its large arrays, and would use a single process for them."""
PARALLEL_ROWS = 20_000
"""Rows whose digests PostgreSQL computes in several processes; to start these takes longer than fewer rows."""


@dataclass(frozen=True)
class StoredLoad:
    """A load with the identifiers that verification needs."""

    load_id: int
    source_id: int
    corpus_id: int
    name: str
    """`model/source`."""


async def shown_loads(connection: Connection, model: str, names: list[str]) -> list[StoredLoad]:
    """The loads that readers see of sources of a model, by the sources' layer and name."""
    rows = await connection.fetch(
        """SELECT load.id AS load_id, source.id AS source_id, load.corpus_id, model_id || '/' || name AS name
           FROM source JOIN load ON load.source_id = source.id AND load.state = 'shown'
           WHERE model_id = $1 AND name = ANY($2) ORDER BY layer, name""",
        model,
        names,
    )
    return [StoredLoad(**row) for row in rows]


async def note_part(
    connection: Connection, load_id: int, part: str, rows: int, digest: int | Decimal | None = None
) -> None:
    """Note what an import has stored of a load."""
    await connection.execute(
        """INSERT INTO load_part (load_id, part, rows, digest) VALUES ($1, $2, $3, $4)
           ON CONFLICT (load_id, part) DO UPDATE SET rows = excluded.rows, digest = excluded.digest""",
        load_id,
        part,
        rows,
        digest,
    )


async def problems(
    connection: Connection, load: StoredLoad, parts: tuple[str, ...] = (FEATURES, EXPLANATIONS, SCORES)
) -> list[str]:
    """What differs between a load and what its import noted; empty: it is complete."""
    rows = await connection.fetch("SELECT part, rows, digest FROM load_part WHERE load_id = $1", load.load_id)
    noted = {row["part"]: (row["rows"], row["digest"]) for row in rows}
    if not noted.keys() >= set(parts):
        return ["an older version imported it, which noted no digests; import it again"]
    found = []
    for part in parts:
        statement, column = _PARTS[part]
        stored = await _stored(connection, statement, getattr(load, column), noted[part][0])
        found += _compare(part, stored, noted[part])
    return found


async def corpus_problems(connection: Connection, corpus_id: int) -> list[str]:
    """What differs between the texts of a corpus and what their import noted."""
    row = await connection.fetchrow("SELECT contexts, digest_of_rows FROM corpus WHERE id = $1", corpus_id)
    if row is None or row["digest_of_rows"] is None:
        return ["an older version imported its texts, which noted no digests; import it again"]
    stored = await _stored(connection, row_digests.CONTEXTS_SQL, corpus_id, row["contexts"])
    return _compare("contexts", stored, (row["contexts"], row["digest_of_rows"]))


async def note_result(connection: Connection, load_id: int, found: list[str]) -> bool:
    """Record the result of a verification; returns whether readers still see the load."""
    row = await connection.fetchrow(
        """UPDATE load SET verified_at = clock_timestamp(), verification_problem = $2
           WHERE id = $1 AND state IN ('staging', 'verified', 'shown') RETURNING id""",
        load_id,
        "; ".join(found) or None,
    )
    return row is not None


async def _stored(connection: Connection, statement: str, key: int, noted_rows: int) -> tuple[int, Decimal | None]:
    async with connection.transaction():
        for name in _PARALLEL if noted_rows >= PARALLEL_ROWS else ():
            await connection.execute(f"SET LOCAL {name} = 0")
        # `fetchrow` limits the rows, and such a statement has no parallel workers
        (row,) = await connection.fetch(statement, key)
    return row["count"], row["digest"]


def _compare(part: str, stored: tuple[int, Decimal | None], noted: tuple[int, Decimal | None]) -> list[str]:
    if stored[0] != noted[0]:
        return [f"{stored[0]:,} {part} are stored, the import had {noted[0]:,}"]
    if stored[1] != noted[1]:
        return [f"the {part} are not the ones that were imported: their digests differ"]
    return []
