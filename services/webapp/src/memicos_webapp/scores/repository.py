"""SQL of scores."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from sqlalchemy import bindparam, func, select
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.accounts.models import Account
from memicos_webapp.catalog.models import Source
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import (
    ResolvedSource,
    Viewer,
    listed_scores,
    visible_explanations,
    visible_scores,
    visible_sources,
)
from memicos_webapp.database.mapping import from_row
from memicos_webapp.explanations.models import Explanation
from memicos_webapp.features.rows import ExplanationRow
from memicos_webapp.scores.label_scores import label_scores
from memicos_webapp.scores.models import Score
from memicos_webapp.scores.rows import LabelScore, ListedScore, NewScore, ScoreRow

_OF_FEATURE = (
    select(
        Score.id,
        Score.explanation_id,
        Score.method,
        Score.model,
        Score.value,
        Score.low,
        Score.high,
        Score.reason,
        Score.seed,
        Score.around,
        Score.corpus_id,
        Score.text_contexts,
        Score.text_positions,
        Score.text_distances,
        Score.text_answers,
        Account.name.label("author"),
        Score.author_id,
        Score.created_at,
        Score.text_details,
        Score.template_version,
        Score.profile,
        Score.parameters,
        Score.prompt_tokens,
        Score.completion_tokens,
        Score.cost,
    )
    .join(Explanation, Explanation.id == Score.explanation_id)
    .outerjoin(Account, Account.id == Score.author_id)
    .where(Explanation.source_id == bindparam("source"), Explanation.index == bindparam("number"))
    .order_by(Score.method, Score.created_at.desc(), Score.id.desc())
)


async def of_feature(session: AsyncSession, source: ResolvedSource, index: int) -> dict[int, list[ScoreRow]]:
    """Scores of a feature's explanations, by the explanation's id."""
    by_explanation: dict[int, list[ScoreRow]] = {}
    values = {"source": source.source_id, "number": index}
    for row in (await session.execute(_OF_FEATURE, values)).mappings():
        by_explanation.setdefault(row["explanation_id"], []).append(from_row(ScoreRow, row))
    return by_explanation


async def score(
    session: AsyncSession, viewer: Viewer, score_id: int
) -> tuple[ScoreRow, ExplanationRow, SourceInfo] | None:
    """A score that the viewer may read, with its explanation and source; None where there is none."""
    row = (await session.execute(visible_scores(viewer).where(Score.id == score_id))).mappings().one_or_none()
    if row is None:
        return None
    of_explanation = visible_explanations(viewer).where(Explanation.id == row["explanation_id"])
    explanation = (await session.execute(of_explanation)).mappings().one()
    of_source = visible_sources(viewer).where(Source.id == explanation["source_id"])
    source = (await session.execute(of_source)).mappings().one()
    return from_row(ScoreRow, row), from_row(ExplanationRow, explanation), from_row(SourceInfo, source)


async def methods(session: AsyncSession, source: ResolvedSource) -> list[str]:
    """Methods by which explanations of the source are scored, the most frequent first."""
    statement = (
        select(Score.method)
        .join(Explanation, Explanation.id == Score.explanation_id)
        .where(Explanation.source_id == source.source_id)
        .group_by(Score.method)
        .order_by(func.count().desc(), Score.method)
    )
    return list(await session.scalars(statement))


async def of_labels(
    session: AsyncSession, source: ResolvedSource, method: str, indices: Iterable[int]
) -> dict[int, LabelScore]:
    """The scores by `method` of the labels of features, by index."""
    statement = label_scores(source, method, only=True)
    rows = (await session.execute(statement, {"numbers": list(indices)})).mappings()
    return {row["index"]: from_row(LabelScore, row) for row in rows}


async def newest(session: AsyncSession, viewer: Viewer, method: str, limit: int) -> Sequence[ListedScore]:
    """The newest scores by `method` of sources that the viewer's listings show."""
    statement = (
        listed_scores(viewer)
        .where(Score.method == method)
        .order_by(Score.created_at.desc(), Score.id.desc())
        .limit(limit)
    )
    return [from_row(ListedScore, row) for row in (await session.execute(statement)).mappings()]


async def put(session: AsyncSession, viewer: Viewer, new: NewScore) -> int:
    """Store a score of the viewer's, in the place of an earlier one by the same method and model; returns its id."""
    values = {**asdict(new), "author_id": viewer.account_id}
    key = ("explanation_id", "method", "model", "author_id")
    statement = insert(Score).values(**values)
    changed = {name: statement.excluded[name] for name in values if name not in key}
    statement = statement.on_conflict_do_update(index_elements=key, set_={**changed, "created_at": func.now()})
    return (await session.execute(statement.returning(Score.id))).scalar_one()


async def delete(session: AsyncSession, viewer: Viewer, score_id: int) -> None:
    """Delete a score of the viewer's own."""
    await session.execute(delete_from(Score).where(Score.id == score_id, Score.author_id == viewer.account_id))
