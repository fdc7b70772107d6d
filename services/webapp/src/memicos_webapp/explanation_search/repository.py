"""SQL of search by meaning. Every filter stands before LIMIT, and only features of current loads are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memicos_embeddings.embedder import Vectors
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Load, Model, Source, SourceSet
from memicos_webapp.embeddings.models import EMBEDDING_TABLES

EXAMPLES = 3
"""Strongest examples of a feature that results show."""
MARK_START, MARK_END = "\ue000", "\ue001"
"""Private characters around the words that a query matched; they cannot be mistaken for markup."""


@dataclass(frozen=True)
class Searched:
    """A source that is searched."""

    id: int
    model_id: str
    name: str
    set_name: str
    embedder: str | None
    corpus_id: int
    recipe: dict[str, Any]
    architecture: str
    sae_config: dict[str, Any]
    model_origin: str


_SOURCES = (
    select(
        Source.id,
        Source.model_id,
        Source.name,
        SourceSet.name,
        Source.active_embedder,
        Load.corpus_id,
        Load.recipe,
        Load.architecture,
        Load.sae_config,
        Model.origin,
    )
    .join(Load, Load.id == Source.current_load_id)
    .join(Model, Model.id == Source.model_id)
    .join(SourceSet, SourceSet.id == Source.source_set_id)
    .order_by(Source.model_id, Source.layer, Source.name)
)


async def sources(
    session: AsyncSession, model_id: str | None, release_id: str | None, names: Sequence[str]
) -> list[Searched]:
    """Sources with a current load: of a model, of a release, of these names, or all."""
    statement = _SOURCES
    if model_id is not None:
        statement = statement.where(Source.model_id == model_id)
    if release_id is not None:
        statement = statement.where(SourceSet.release_id == release_id)
    if names:
        statement = statement.where(Source.name.in_(names))
    return [Searched(*row) for row in await session.execute(statement)]


@dataclass(frozen=True)
class Candidate:
    """An explanation that may be a result. `distance` is 1 - cosine, None without a vector."""

    id: int
    source_id: int
    index: int
    distance: float | None
    words: float
    """Rank by words, 0 where none matched."""


_SHOWN = """JOIN source ON source.id = explanation.source_id
    JOIN feature ON feature.load_id = source.current_load_id AND feature.index = explanation.index"""
# the few nearest look their feature up; OFFSET 0 keeps the planner from trying it in every load
_LOOKED_UP = """JOIN source ON source.id = explanation.source_id
    JOIN LATERAL (SELECT density FROM feature WHERE load_id = source.current_load_id
                  AND feature.index = explanation.index OFFSET 0) AS feature ON true"""
_DENSITY = "AND feature.density BETWEEN :low AND :high"
# the words of the query, any of them: an explanation is short and seldom has all
_ASKED = "CAST(replace(CAST(plainto_tsquery('english', :query) AS text), '&', '|') AS tsquery)"


def _statements(table: str, density: str) -> tuple[Any, Any]:
    near = f"""
        SELECT explanation.id, explanation.source_id, explanation.index AS number,
               embedding.vector <=> CAST(:vector AS halfvec) AS distance, 0.0 AS words
        FROM {table} AS embedding JOIN explanation ON explanation.id = embedding.explanation_id {_LOOKED_UP}
        WHERE embedding.source_id = ANY(:sources) {density}
        ORDER BY embedding.vector <=> CAST(:vector AS halfvec) LIMIT :limit"""  # noqa: S608 (constants)
    worded = f"""
        WITH asked AS (SELECT {_ASKED} AS query)
        SELECT explanation.id, explanation.source_id, explanation.index AS number,
               embedding.vector <=> CAST(:vector AS halfvec) AS distance,
               ts_rank(explanation.words, asked.query, 1) AS words
        FROM asked JOIN explanation ON explanation.words @@ asked.query {_SHOWN}
        LEFT JOIN {table} AS embedding ON embedding.explanation_id = explanation.id
        WHERE explanation.source_id = ANY(:sources) {density}
        ORDER BY words DESC, distance, explanation.id LIMIT :limit"""  # noqa: S608 (constants)
    sources = bindparam("sources", type_=ARRAY(INTEGER))
    return text(near).bindparams(sources), text(worded).bindparams(sources)


_BY_EMBEDDER = {
    (key, bool(density)): _statements(model.__tablename__, density)
    for key, model in EMBEDDING_TABLES.items()
    for density in ("", _DENSITY)
}


@dataclass(frozen=True)
class Density:
    """Shares of tokens between which a feature's density lies."""

    low: float
    high: float


def _values(vector: Vectors | None, sources: Sequence[int], density: Density | None, limit: int) -> dict[str, Any]:
    values: dict[str, Any] = {"sources": list(sources), "limit": limit}
    values["vector"] = None if vector is None else f"[{','.join(map(str, vector.tolist()))}]"
    if density:
        values |= {"low": density.low, "high": density.high}
    return values


_PLANS = text(
    # a plan for all queries suits none: one has three fitting rows, another six thousand
    """SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
              set_config('hnsw.iterative_scan', 'relaxed_order', true),
              set_config('hnsw.ef_search', :breadth, true),
              set_config('hnsw.max_scan_tuples', '200000', true),
              set_config('hnsw.scan_mem_multiplier', '4', true)"""
)


async def plan(session: AsyncSession, limit: int) -> None:
    """Settings of this transaction for `nearest` and `worded` with this limit."""
    await session.execute(_PLANS, {"breadth": str(min(1000, max(40, limit)))})


async def nearest(
    session: AsyncSession,
    embedder: str,
    vector: Vectors,
    sources: Sequence[int],
    density: Density | None,
    limit: int,
) -> list[Candidate]:
    """Explanations of the sources nearest to `vector`, nearest first."""
    statement = _BY_EMBEDDER[embedder, density is not None][0]
    rows = await session.execute(statement, _values(vector, sources, density, limit))
    found = [Candidate(*row) for row in rows]
    # a relaxed scan gives nearly the right order
    return sorted(found, key=lambda one: (one.distance, one.id))


async def worded(
    session: AsyncSession,
    embedder: str,
    query: str,
    vector: Vectors | None,
    sources: Sequence[int],
    density: Density | None,
    limit: int,
) -> list[Candidate]:
    """Explanations of the sources that have words of the query, best first; equal ones by distance to `vector`."""
    statement = _BY_EMBEDDER[embedder, density is not None][1]
    rows = await session.execute(statement, _values(vector, sources, density, limit) | {"query": query})
    return [Candidate(*row) for row in rows]


@dataclass(frozen=True)
class Words:
    """An explanation; `marked` is its text with MARK_START and MARK_END around what the query matched."""

    id: int
    description: str
    marked: str
    method: str
    model: str | None


_WORDS = text(
    f"""SELECT id, description,
               ts_headline('english', description, {_ASKED}, :options), method, model
        FROM explanation WHERE id = ANY(:ids)"""  # noqa: S608 (constants)
)


async def explanations(session: AsyncSession, ids: Sequence[int], query: str) -> dict[int, Words]:
    options = f"HighlightAll=true, StartSel={MARK_START}, StopSel={MARK_END}"
    rows = await session.execute(_WORDS, {"ids": list(ids), "query": query, "options": options})
    return {row[0]: Words(*row) for row in rows}


@dataclass(frozen=True)
class Example:
    """A text of the corpus: position -> value of its active tokens, and the position that put it here."""

    context: int
    position: int
    values: dict[int, float]


@dataclass(frozen=True)
class FeatureCard:
    """A feature as results show it, strongest examples first."""

    source_id: int
    index: int
    density: float
    max_activation: float
    positive: list[tuple[str, float]]
    negative: list[tuple[str, float]]
    explanations: list[dict[str, Any]]
    examples: list[Example]


_FEATURES = text(
    f"""SELECT source.id AS source_id, feature.index AS number, feature.density, feature.max_activation,
               feature.positive_tokens, feature.positive_logits, feature.negative_tokens, feature.negative_logits,
               feature.example_contexts[1:{EXAMPLES}] AS contexts, feature.example_positions[1:{EXAMPLES}] AS positions,
               feature.example_lengths[1:{EXAMPLES}] AS lengths, feature.example_groups[1:{EXAMPLES}] AS groups,
               feature.value_positions[1:(SELECT sum(one) FROM unnest(feature.example_lengths[1:{EXAMPLES}]) AS one)]
                 AS value_positions,
               feature.values[1:(SELECT sum(one) FROM unnest(feature.example_lengths[1:{EXAMPLES}]) AS one)] AS values,
               explained.list AS explanations
        FROM unnest(CAST(:sources AS int[]), CAST(:indices AS int[])) AS wanted(source_id, index)
        JOIN source ON source.id = wanted.source_id
        JOIN feature ON feature.load_id = source.current_load_id AND feature.index = wanted.index
        LEFT JOIN LATERAL (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'description', description, 'method', method, 'model', model)
                       ORDER BY method = 'token-statistics', id DESC), '[]') AS list
            FROM explanation
            WHERE explanation.source_id = source.id AND explanation.index = feature.index
        ) AS explained ON true"""  # noqa: S608 (constants)
)


def _examples(row: Any) -> list[Example]:
    found, start = [], 0
    for context, position, length, group in zip(row.contexts, row.positions, row.lengths, row.groups, strict=True):
        end = start + length
        if group == 0:
            values = dict(zip(row.value_positions[start:end], row.values[start:end], strict=True))
            found.append(Example(context, position, values))
        start = end
    return found


async def features(session: AsyncSession, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], FeatureCard]:
    """Features by (source id, index), with all their explanations and their strongest examples."""
    values = {"sources": [source for source, _ in keys], "indices": [index for _, index in keys]}
    return {
        (row.source_id, row.number): FeatureCard(
            row.source_id,
            row.number,
            row.density,
            row.max_activation,
            list(zip(row.positive_tokens, row.positive_logits, strict=True)),
            list(zip(row.negative_tokens, row.negative_logits, strict=True)),
            row.explanations,
            _examples(row),
        )
        for row in await session.execute(_FEATURES, values)
    }
