"""SQL of the steer page's search for features."""

from collections.abc import Sequence

from sqlalchemy import Float, func
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Corpus, Load, Model, Release, Source, SourceSet
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer, listed_sources
from memicos_webapp.database.mapping import from_row
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.features.models import Feature

_KEYS = (Source.id, SourceSet.id, Release.id, Model.id, Load.id, Corpus.id, Feature.load_id, Feature.index)
"""Keys of the tables joined, to group by."""


async def by_words(
    session: AsyncSession, viewer: Viewer, model: str, words: Sequence[str], limit: int
) -> list[tuple[SourceInfo, int]]:
    """Live features of listed sources of `model` by (source, index), the best match first.

    Their explanations have, for each of `words` (`\\w+`), a word that begins with it.
    """
    if not words:
        return []
    query = func.to_tsquery("english", " & ".join(f"{word}:*" for word in words))
    rank = func.max(func.ts_rank(Explanation.description_tsvector, query).cast(Float))
    statement = (
        listed_sources(viewer, "model")
        .add_columns(Feature.index)
        .join(Explanation, Explanation.source_id == Source.id)
        .join(Feature, (Feature.load_id == Load.id) & (Feature.index == Explanation.index))
        .where(Source.model_id == model, Feature.max_activation > 0, Explanation.description_tsvector.op("@@")(query))
        .group_by(*_KEYS)
        .order_by(rank.desc(), Source.layer, Feature.index)
        .limit(limit)
    )
    return [(from_row(SourceInfo, row), row["index"]) for row in (await session.execute(statement)).mappings()]


async def by_index(session: AsyncSession, viewer: Viewer, model: str, index: int) -> list[tuple[SourceInfo, int]]:
    """The feature of that index in every listed source of `model`, by (source, index)."""
    statement = (
        listed_sources(viewer, "model")
        .join(Feature, Feature.load_id == Load.id)
        .where(Source.model_id == model, Feature.index == index)
        .order_by(Source.layer, Source.name)
    )
    return [(from_row(SourceInfo, row), index) for row in (await session.execute(statement)).mappings()]
