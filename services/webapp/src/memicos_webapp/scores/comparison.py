"""Compares the explanations of a feature: their scores, and what a method answered about each text."""

from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.errors import BadInput
from memicos_webapp.features import repository as feature_repository
from memicos_webapp.features import service as features
from memicos_webapp.features.rows import ExplanationRow
from memicos_webapp.scores import repository
from memicos_webapp.scores.methods import METHODS, ScoreMethod
from memicos_webapp.scores.rows import ScoreRow
from memicos_webapp.scores.texts import ScoredText, scored_texts


@dataclass(frozen=True)
class ComparedText:
    """A text with the tokens that were marked in it, and the method's answer under each explanation; None where the
    explanation was not scored on it."""

    text: ScoredText
    answers: list[ScoredText | None]


@dataclass(frozen=True)
class Comparison:
    """The explanations of a feature, its label first, with their newest score by each method."""

    source: SourceInfo
    index: int
    explanations: list[ExplanationRow]
    scores: dict[str, list[ScoreRow | None]]
    """By method, one for each explanation."""
    scorer: str | None
    """The method whose texts are compared; None without scores."""
    texts: list[ComparedText]
    """Texts that more than one explanation was scored on."""

    @property
    def path(self) -> str:
        """The feature's page."""
        return f"{self.source.path}/{self.index}"

    @property
    def method(self) -> ScoreMethod | None:
        return METHODS.get(self.scorer or "")


async def compare(
    session: AsyncSession, viewer: Viewer, model_id: str, source: str, index: int, scorer: str
) -> Comparison:
    """The explanations of a feature side by side; an empty `scorer` is the method with the most scores.

    Raises:
        NotFound: model, source or index is unknown.
        BadInput: `scorer` has scored none of the explanations.
    """
    info, feature = await features.get(session, viewer, model_id, source, index)
    explanations = (await feature_repository.explanations(session, info, [index])).get(index, [])
    of_feature = await repository.of_feature(session, info, index)
    scores: dict[str, list[ScoreRow | None]] = {}
    for column, explanation in enumerate(explanations):
        for score in reversed(of_feature.get(explanation.id, [])):  # the newest of a method last
            scores.setdefault(score.method, [None] * len(explanations))[column] = score
    scores = dict(sorted(scores.items(), key=lambda item: (item[1].count(None), item[0])))
    if scorer and scorer not in scores:
        available = f"available: {', '.join(scores)}" if scores else "none of them has a score"
        raise BadInput(f"No explanation of {info.path[1:]}/{index} is scored by {scorer!r}; {available}.")
    chosen = scorer or next(iter(scores), None)
    compared = scores[chosen] if chosen else []
    numbers = {number for score in compared if score for number in score.text_contexts}
    contexts = await feature_repository.contexts(session, info, numbers)
    columns = [scored_texts(score, info, contexts, feature) if score else [] for score in compared]
    return Comparison(info, index, explanations, scores, chosen, _by_text(columns))


def _by_text(columns: list[list[ScoredText]]) -> list[ComparedText]:
    """One row for each text of more than one of `columns`: active texts first, in the order of their intervals."""
    rows: dict[tuple[object, ...], ComparedText] = {}
    for column, texts in enumerate(columns):
        for text in texts:
            marked = sorted(text.marked)
            # what else the method says of a text differs by explanation
            shown = replace(text, detail={"marked": marked})
            row = rows.setdefault((text.corpus_position, *marked), ComparedText(shown, [None] * len(columns)))
            row.answers[column] = text
    shared = [row for row in rows.values() if len(row.answers) - row.answers.count(None) > 1]
    return sorted(shared, key=lambda row: (not row.text.active, abs(row.text.distance)))
