"""SQL of search of explanations. Filters apply before LIMIT; only features of the resolved loads are searched."""

from collections.abc import Sequence
from typing import Any

from memicos_embeddings.embedder import Vectors
from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.visibility import ResolvedSource
from memicos_webapp.database.mapping import from_row
from memicos_webapp.embeddings.models import EMBEDDING_TABLES
from memicos_webapp.explanation_search.rows import Candidate, DensityRange, MatchedExplanation

MARK_START, MARK_END = "\ue000", "\ue001"
"""Private-use characters around the words that match the query; they cannot be mistaken for markup."""

# the load that was resolved for the explanation's source: an expression, as a join with a list of sources can make the
# planner give up the index of nearest vectors
_LOAD = "(CAST(:loads AS bigint[]))[array_position(CAST(:sources AS int[]), explanation.source_id)]"
_FEATURE = f"JOIN feature ON feature.load_id = {_LOAD} AND feature.index = explanation.index"
# looked up for the few nearest; OFFSET 0 keeps the planner from joining the features of every load
_LOOKED_UP = f"""JOIN LATERAL (SELECT density FROM feature WHERE load_id = {_LOAD}
                  AND feature.index = explanation.index OFFSET 0) AS feature ON true"""  # noqa: S608 (constants)
_DENSITY = "AND feature.density BETWEEN :low AND :high"
# any word of the query: explanations are short and rarely have all of them
_TERMS = "CAST(replace(CAST(plainto_tsquery('english', :query) AS text), '&', '|') AS tsquery)"


def _statements(table: str, density: str) -> tuple[Any, Any]:
    """(by vector, by words) of the embedder with this table."""
    by_vector = f"""
        SELECT explanation.id, explanation.source_id, explanation.index,
               embedding.vector <=> CAST(:vector AS halfvec) AS distance, 0.0 AS word_rank
        FROM {table} AS embedding JOIN explanation ON explanation.id = embedding.explanation_id {_LOOKED_UP}
        WHERE embedding.source_id = ANY(:sources) {density}
        ORDER BY embedding.vector <=> CAST(:vector AS halfvec) LIMIT :limit"""  # noqa: S608 (constants)
    by_words = f"""
        WITH terms AS (SELECT {_TERMS} AS query)
        SELECT explanation.id, explanation.source_id, explanation.index,
               embedding.vector <=> CAST(:vector AS halfvec) AS distance,
               ts_rank(explanation.description_tsvector, terms.query, 1) AS word_rank
        FROM terms JOIN explanation ON explanation.description_tsvector @@ terms.query {_FEATURE}
        LEFT JOIN {table} AS embedding ON embedding.explanation_id = explanation.id
        WHERE explanation.source_id = ANY(:sources) {density}
        ORDER BY word_rank DESC, distance, explanation.id LIMIT :limit"""  # noqa: S608 (constants)
    binds = (bindparam("sources", type_=ARRAY(INTEGER)), bindparam("loads", type_=ARRAY(BigInteger)))
    return text(by_vector).bindparams(*binds), text(by_words).bindparams(*binds)


_BY_EMBEDDER = {
    (key, bool(density)): _statements(model.__tablename__, density)
    for key, model in EMBEDDING_TABLES.items()
    for density in ("", _DENSITY)
}


def _values(
    vector: Vectors | None, sources: Sequence[ResolvedSource], density: DensityRange | None, limit: int
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "sources": [source.source_id for source in sources],
        "loads": [source.load_id for source in sources],
        "limit": limit,
        "vector": None if vector is None else f"[{','.join(map(str, vector.tolist()))}]",
    }
    if density:
        values |= {"low": density.low, "high": density.high}
    return values


_PLANNER_SETTINGS = text(
    # no generic plan: a query matches anything from a few rows to several thousand
    """SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
              set_config('hnsw.iterative_scan', 'relaxed_order', true),
              set_config('hnsw.ef_search', :breadth, true),
              set_config('hnsw.max_scan_tuples', '200000', true),
              set_config('hnsw.scan_mem_multiplier', '4', true)"""
)


async def set_planner(session: AsyncSession, limit: int) -> None:
    """Set the planner of this transaction for `nearest_by_vector` and `matching_words` with this limit."""
    await session.execute(_PLANNER_SETTINGS, {"breadth": str(min(1000, max(40, limit)))})


async def nearest_by_vector(
    session: AsyncSession,
    embedder: str,
    vector: Vectors,
    sources: Sequence[ResolvedSource],
    density: DensityRange | None,
    limit: int,
) -> list[Candidate]:
    """Explanations of the sources nearest to `vector`, nearest first."""
    statement, _ = _BY_EMBEDDER[embedder, density is not None]
    rows = (await session.execute(statement, _values(vector, sources, density, limit))).mappings()
    # the relaxed index scan returns rows only nearly in order
    return sorted((from_row(Candidate, row) for row in rows), key=lambda candidate: (candidate.distance, candidate.id))


async def matching_words(
    session: AsyncSession,
    embedder: str,
    query: str,
    vector: Vectors | None,
    sources: Sequence[ResolvedSource],
    density: DensityRange | None,
    limit: int,
) -> list[Candidate]:
    """Explanations of the sources with words of the query, best first; ties by distance to `vector`."""
    _, statement = _BY_EMBEDDER[embedder, density is not None]
    rows = (await session.execute(statement, _values(vector, sources, density, limit) | {"query": query})).mappings()
    return [from_row(Candidate, row) for row in rows]


_MARKED = text(
    f"""SELECT id, description, ts_headline('english', description, {_TERMS}, :options) AS marked, method, model
        FROM explanation WHERE id = ANY(:ids) AND source_id = ANY(:sources)"""  # noqa: S608 (constants)
)


async def explanations(
    session: AsyncSession, sources: Sequence[ResolvedSource], ids: Sequence[int], query: str
) -> dict[int, MatchedExplanation]:
    """Explanations of the sources by id, with the words that match the query marked."""
    options = f"HighlightAll=true, StartSel={MARK_START}, StopSel={MARK_END}"
    values = {"ids": list(ids), "sources": [source.source_id for source in sources]}
    rows = (await session.execute(_MARKED, values | {"query": query, "options": options})).mappings()
    return {row["id"]: from_row(MatchedExplanation, row) for row in rows}
