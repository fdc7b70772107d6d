"""Rows of the features that a text activates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.schemas import SourceInfo
from memicos_webapp.features.models import Feature

FeatureKey = tuple[str, int]
"""Source id and feature index."""


@dataclass(frozen=True)
class FoundRow:
    """A feature as results show it; its strongest example with a value at every token."""

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
    SELECT source.name AS source, feature.index AS number, feature.density, feature.max_activation,
           feature.positive_tokens, feature.positive_logits, feature.negative_tokens, feature.negative_logits,
           context.tokens, feature.value_positions[1:feature.example_lengths[1]] AS positions,
           feature.values[1:feature.example_lengths[1]] AS values,
           explained.list AS explanations
    FROM unnest(CAST(:loads AS bigint[]), CAST(:indices AS int[])) AS wanted(load_id, index)
    JOIN feature ON feature.load_id = wanted.load_id AND feature.index = wanted.index
    JOIN load ON load.id = feature.load_id
    JOIN source ON source.id = load.source_id
    LEFT JOIN context ON context.corpus_id = load.corpus_id AND context.number = feature.example_contexts[1]
    LEFT JOIN LATERAL (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'description', description, 'method', method, 'model', model)
                   ORDER BY method = 'token-statistics', id DESC), '[]') AS list
        FROM explanation
        WHERE explanation.source_id = source.id AND explanation.index = feature.index
    ) AS explained ON true
""")
"""Features, each with its explanations (the label first) and its strongest example."""


async def features(
    session: AsyncSession, sources: Sequence[SourceInfo], keys: Sequence[FeatureKey]
) -> dict[FeatureKey, FoundRow]:
    """Rows of `keys`; features that were not imported are absent."""
    loads = {source.name: source.load_id for source in sources}
    wanted = [(loads[name], index) for name, index in keys]
    rows = await session.execute(
        FEATURES, {"loads": [load for load, _ in wanted], "indices": [index for _, index in wanted]}
    )
    found = {}
    for row in rows:
        values = [0.0] * len(row.tokens or [])
        for position, value in zip(row.positions or [], row.values or [], strict=True):
            values[position] = value
        found[row.source, row.number] = FoundRow(
            source=row.source,
            index=row.number,
            density=row.density,
            max_activation=row.max_activation,
            positive=list(zip(row.positive_tokens, row.positive_logits, strict=True)),
            negative=list(zip(row.negative_tokens, row.negative_logits, strict=True)),
            explanations=row.explanations,
            example_tokens=row.tokens or [],
            example_values=values,
        )
    return found


async def dense_features(session: AsyncSession, sources: Sequence[SourceInfo], share: float) -> set[FeatureKey]:
    """Features of `sources` that fire on more than `share` (of 1) of tokens."""
    names = {source.load_id: source.name for source in sources}
    rows = await session.execute(
        select(Feature.load_id, Feature.index).where(Feature.load_id.in_(names), Feature.density > share)
    )
    return {(names[load], index) for load, index in rows}
