"""SQL of the steer page's search for features."""

from collections.abc import Sequence

from sqlalchemy import Float, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Model, Source
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.features.models import Feature

Key = tuple[int, int]
"""The source's number in the database, and the feature's index."""


async def by_words(session: AsyncSession, model: str, words: Sequence[str], limit: int) -> list[Key]:
    """Live features of `model` whose explanations have, for each of `words` (\\w+), a word that begins with it."""
    if not words:
        return []
    query = func.to_tsquery("english", " & ".join(f"{word}:*" for word in words))
    rank = func.max(func.ts_rank(Explanation.words, query).cast(Float))
    rows = await session.execute(
        select(Source.id, Feature.index)
        .join(Explanation, Explanation.source_id == Source.id)
        .join(Feature, (Feature.load_id == Source.current_load_id) & (Feature.index == Explanation.index))
        .where(Source.model_id == model, Feature.max_activation > 0, Explanation.words.op("@@")(query))
        .group_by(Source.id, Feature.index)
        .order_by(rank.desc(), Source.layer, Feature.index)
        .limit(limit)
    )
    return [(source_id, index) for source_id, index in rows]


async def by_index(session: AsyncSession, model: str, index: int) -> list[Key]:
    """The feature of that index in every source of `model`."""
    rows = await session.execute(
        select(Source.id, Feature.index)
        .join(Feature, Feature.load_id == Source.current_load_id)
        .where(Source.model_id == model, Feature.index == index)
        .order_by(Source.layer, Source.name)
    )
    return [(source_id, number) for source_id, number in rows]


async def default_model(session: AsyncSession) -> str | None:
    """The first model with features, chat models first."""
    shown = select(Source.id).where(Source.model_id == Model.id, Source.current_load_id.is_not(None)).exists()
    return await session.scalar(select(Model.id).where(shown).order_by(Model.chat.desc(), Model.id).limit(1))
