"""SQL that reads and writes single explanations."""

from memicos_autointerp_client.models import ExplainResponse
from memicos_autointerp_core.explainers.interface import Explanation as LanguageModelExplanation
from sqlalchemy import delete as delete_from
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.models import Source
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import (
    ResolvedSource,
    Viewer,
    listed_explanations,
    visible_explanations,
    visible_sources,
)
from memicos_webapp.database.mapping import from_row
from memicos_webapp.explanations.autointerp_client import ExplainOptions
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.explanations.rows import ListedExplanation
from memicos_webapp.features.rows import ExplanationRow


async def exists(session: AsyncSession, source: ResolvedSource, index: int, method: str, model: str) -> bool:
    """Whether a feature has an explanation by this method and language model."""
    statement = select(Explanation.id).where(
        Explanation.source_id == source.source_id,
        Explanation.index == index,
        Explanation.method == method,
        Explanation.model == model,
    )
    return (await session.execute(statement.limit(1))).first() is not None


def _paid(answer: ExplainResponse) -> float | None:
    """US dollars that this answer cost: 0 where it was stored before; None where the profile has no price."""
    if answer.cached:
        return 0.0
    return answer.cost if isinstance(answer.cost, float | int) else None


async def add(
    session: AsyncSession,
    viewer: Viewer,
    source: ResolvedSource,
    index: int,
    options: ExplainOptions,
    answer: ExplainResponse,
) -> int | None:
    """Store an explanation of the viewer's and return its id; None if another request stored one first."""
    usage = answer.usage or None
    statement = (
        insert(Explanation)
        .values(
            source_id=source.source_id,
            index=index,
            # PostgreSQL's text type cannot store NUL
            description=answer.explanation.replace("\0", "␀"),
            method=options.method,
            model=options.model,
            author_id=viewer.account_id,
            template_version=answer.template_version,
            profile=answer.profile,
            parameters=answer.parameters.to_dict(),
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            cost=_paid(answer),
        )
        .on_conflict_do_nothing()
        .returning(Explanation.id)
    )
    return await session.scalar(statement)


async def add_from_job(
    session: AsyncSession,
    author: int,
    source: ResolvedSource,
    index: int,
    found: LanguageModelExplanation,
    model: str,
    profile: str,
) -> bool:
    """Store an explanation that a job has; returns False where another request stored one first."""
    statement = (
        insert(Explanation)
        .values(
            source_id=source.source_id,
            index=index,
            description=found.text.replace("\0", "␀"),
            method=found.method,
            model=model,
            author_id=author,
            template_version=found.template_version,
            profile=profile,
            parameters=dict(found.parameters),
            prompt_tokens=found.usage.prompt_tokens if found.usage else None,
            completion_tokens=found.usage.completion_tokens if found.usage else None,
            # of an answer that an interrupted run paid for too
            cost=found.cost,
        )
        .on_conflict_do_nothing()
        .returning(Explanation.id)
    )
    return await session.scalar(statement) is not None


async def explanation(
    session: AsyncSession, viewer: Viewer, explanation_id: int
) -> tuple[ExplanationRow, SourceInfo] | None:
    """An explanation that the viewer may read, with its source; None where there is none."""
    statement = visible_explanations(viewer).where(Explanation.id == explanation_id)
    row = (await session.execute(statement)).mappings().one_or_none()
    if row is None:
        return None
    source = (await session.execute(visible_sources(viewer).where(Source.id == row["source_id"]))).mappings().one()
    return from_row(ExplanationRow, row), from_row(SourceInfo, source)


async def delete(session: AsyncSession, explanation: ExplanationRow) -> None:
    """Delete an explanation; its embeddings go with it."""
    await session.execute(delete_from(Explanation).where(Explanation.id == explanation.id))


async def choose_label(session: AsyncSession, explanation: ExplanationRow, chosen: bool) -> None:
    """Mark the explanation as chosen, and no other of its feature; with `chosen` false none."""
    of_feature = (
        Explanation.source_id
        == select(Explanation.source_id).where(Explanation.id == explanation.id).scalar_subquery(),
        Explanation.index == explanation.index,
    )
    # in this order: a feature has at most one chosen explanation (unique index)
    await session.execute(update(Explanation).where(*of_feature).values(chosen_as_label=False))
    if chosen:
        await session.execute(update(Explanation).where(Explanation.id == explanation.id).values(chosen_as_label=True))


async def newest(session: AsyncSession, viewer: Viewer, method: str, limit: int) -> list[ListedExplanation]:
    """The newest explanations by `method` of sources that the viewer's listings show."""
    statement = (
        listed_explanations(viewer).where(Explanation.method == method).order_by(Explanation.id.desc()).limit(limit)
    )
    return [from_row(ListedExplanation, row) for row in (await session.execute(statement)).mappings()]
