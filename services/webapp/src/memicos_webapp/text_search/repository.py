"""Rows of the features that a text activates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

FeatureKey = tuple[str, int]
"""Source id and feature index."""


@dataclass(frozen=True)
class FoundRow:
    """A feature as results show it; `explanations` newest first, the strongest example dense or absent."""

    source: str
    index: int
    density: float
    max_activation: float
    positive: list[tuple[str, float]]
    negative: list[tuple[str, float]]
    explanations: list[dict[str, Any]]
    example_tokens: list[str]
    example_values: list[float]

    @property
    def label(self) -> str | None:
        return self.explanations[0]["description"] if self.explanations else None


FEATURES = text("""
    SELECT source.name AS source, feature.index, feature.density, feature.max_activation,
           feature.positive_tokens, feature.positive_logits, feature.negative_tokens, feature.negative_logits,
           context.tokens, feature.value_positions[1:feature.example_lengths[1]] AS positions,
           feature.values[1:feature.example_lengths[1]] AS values,
           explained.list AS explanations
    FROM unnest(CAST(:sources AS text[]), CAST(:indices AS int[])) AS wanted(source, index)
    JOIN source ON source.model_id = :model AND source.name = wanted.source
    JOIN load ON load.id = source.current_load_id
    JOIN feature ON feature.load_id = load.id AND feature.index = wanted.index
    LEFT JOIN context ON context.corpus_id = load.corpus_id AND context.number = feature.example_contexts[1]
    LEFT JOIN LATERAL (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'description', description, 'method', method, 'model', model) ORDER BY id DESC), '[]') AS list
        FROM explanation
        WHERE explanation.source_id = source.id AND explanation.index = feature.index
    ) AS explained ON true
""")


async def features(
    session: AsyncSession, model: str, keys: Sequence[FeatureKey]
) -> dict[FeatureKey, FoundRow]:
    """Rows of `keys`; what is not imported is absent."""
    rows = await session.execute(
        FEATURES,
        {"model": model, "sources": [source for source, _ in keys], "indices": [index for _, index in keys]},
    )
    found = {}
    for row in rows:
        values = [0.0] * len(row.tokens or [])
        for position, value in zip(row.positions or [], row.values or [], strict=True):
            values[position] = value
        found[row.source, row.index] = FoundRow(
            source=row.source,
            index=row.index,
            density=row.density,
            max_activation=row.max_activation,
            positive=list(zip(row.positive_tokens, row.positive_logits, strict=True)),
            negative=list(zip(row.negative_tokens, row.negative_logits, strict=True)),
            explanations=row.explanations,
            example_tokens=row.tokens or [],
            example_values=values,
        )
    return found


DENSE = text("""
    SELECT source.name, feature.index
    FROM source JOIN feature ON feature.load_id = source.current_load_id
    WHERE source.model_id = :model AND source.name = ANY(:sources) AND feature.density > :threshold
""")


async def dense_features(
    session: AsyncSession, model: str, sources: Sequence[str], threshold: float
) -> set[FeatureKey]:
    """Features of `sources` that fire on more than `threshold` (a share of 1) of tokens."""
    rows = await session.execute(DENSE, {"model": model, "sources": list(sources), "threshold": threshold})
    return {(name, index) for name, index in rows}


SOURCES = text("""
    SELECT source.name, source.layer, source_set.name AS set, model.id AS model
    FROM model JOIN source_set ON source_set.model_id = model.id JOIN source ON source.source_set_id = source_set.id
    WHERE source.current_load_id IS NOT NULL
    ORDER BY model.created_at, model.id, source_set.id, source.layer, source.name
""")


@dataclass(frozen=True)
class SearchableSource:
    model: str
    set: str
    name: str
    layer: int


async def searchable(session: AsyncSession) -> list[SearchableSource]:
    """Every imported source, in the order of models, sets and layers."""
    return [
        SearchableSource(row.model, row.set, row.name, row.layer) for row in await session.execute(SOURCES)
    ]
