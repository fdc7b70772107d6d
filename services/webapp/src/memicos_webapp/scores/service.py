"""Reads a score with the texts that it was computed from."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import NotFound
from memicos_webapp.explanations import repository as explanations
from memicos_webapp.features import repository as features
from memicos_webapp.features.rows import ExplanationRow
from memicos_webapp.scores import repository
from memicos_webapp.scores.methods import METHODS, ScoreMethod
from memicos_webapp.scores.rows import ListedScore, ScoreRow
from memicos_webapp.scores.texts import ScoredText, scored_texts

NEWEST = 20
"""Scores on the page of a method."""


@dataclass(frozen=True)
class ScoreDetail:
    """A score and its breakdown; `texts` is empty where they were those of a corpus that the source no longer shows."""

    score: ScoreRow
    explanation: ExplanationRow
    source: SourceInfo
    texts: list[ScoredText]

    @property
    def path(self) -> str:
        """The feature's page."""
        return f"{self.source.path}/{self.explanation.index}"

    @property
    def method(self) -> ScoreMethod | None:
        return METHODS.get(self.score.method)


async def find(session: AsyncSession, viewer: Viewer, score_id: int) -> ScoreDetail:
    """A score with its breakdown.

    Raises:
        NotFound: the viewer can read no such score.
    """
    found = await repository.score(session, viewer, score_id)
    if found is None:
        raise NotFound(f"There is no score {score_id} here.")
    score, explanation, source = found
    contexts = await features.contexts(session, source, set(score.text_contexts))
    feature = await features.feature(session, viewer, source.model_id, source.name, explanation.index)
    texts = scored_texts(score, source, contexts, feature[1] if feature else None)
    return ScoreDetail(score, explanation, source, texts)


async def explanation(session: AsyncSession, viewer: Viewer, explanation_id: int) -> tuple[ExplanationRow, SourceInfo]:
    """An explanation that the viewer may read, with its source.

    Raises:
        NotFound: there is none.
    """
    found = await explanations.explanation(session, viewer, explanation_id)
    if found is None:
        raise NotFound(f"There is no explanation {explanation_id} here.")
    return found


async def of_explanation(session: AsyncSession, viewer: Viewer, explanation_id: int) -> list[ScoreRow]:
    """The scores of an explanation.

    Raises:
        NotFound: the viewer can read no such explanation.
    """
    row, source = await explanation(session, viewer, explanation_id)
    return (await repository.of_feature(session, source, row.index)).get(explanation_id, [])


async def newest(session: AsyncSession, viewer: Viewer, name: str) -> tuple[ScoreMethod, list[ListedScore]]:
    """A method with the newest scores that the viewer may read.

    Raises:
        NotFound: there is no such method.
    """
    method = METHODS.get(name)
    if method is None:
        raise NotFound(f"There is no score type {name!r}; available: {', '.join(METHODS)}.")
    return method, list(await repository.newest(session, viewer, name, NEWEST))
