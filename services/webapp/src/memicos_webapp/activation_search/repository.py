"""SQL of search by own text: the features that a search leaves out."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.features.models import Feature

FeatureKey = tuple[str, int]
"""(name of the source, feature index): how inference names a feature."""


async def dense_features(session: AsyncSession, sources: Iterable[SourceInfo], share: float) -> set[FeatureKey]:
    """Features of `sources` that fire on more than `share` (of 1) of tokens."""
    names = {source.load_id: source.name for source in sources}
    rows = await session.execute(
        select(Feature.load_id, Feature.index).where(Feature.load_id.in_(names), Feature.density > share)
    )
    return {(names[load], index) for load, index in rows}
