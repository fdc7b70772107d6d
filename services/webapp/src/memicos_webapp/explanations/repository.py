"""SQL of explanations that are written here."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.accounts.viewer import LOCAL_OWNER_ID
from memicos_webapp.catalog.visibility import ResolvedSource
from memicos_webapp.explanations.models import Explanation


async def exists(session: AsyncSession, source: ResolvedSource, index: int, method: str, model: str) -> bool:
    """Whether a feature has an explanation by this method and language model."""
    statement = select(Explanation.id).where(
        Explanation.source_id == source.source_id,
        Explanation.index == index,
        Explanation.method == method,
        Explanation.model == model,
    )
    return (await session.execute(statement.limit(1))).first() is not None


async def add(
    session: AsyncSession, source: ResolvedSource, index: int, description: str, method: str, model: str
) -> int | None:
    """Store the owner's explanation and return its id; None where another request was quicker."""
    statement = (
        insert(Explanation)
        .values(
            source_id=source.source_id,
            index=index,
            description=description,
            method=method,
            model=model,
            author_id=LOCAL_OWNER_ID,
        )
        .on_conflict_do_nothing()
        .returning(Explanation.id)
    )
    return await session.scalar(statement)
