"""The scorers that ask a language model, by name."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from memicos_autointerp_core.scorers import classification, recall_alt, simulation, statistics
from memicos_autointerp_core.scorers.interface import Score, ScoredText
from memicos_autointerp_core.scorers.language_model import ScoringModel


@dataclass(frozen=True)
class LanguageModelScorer:
    """A scorer.

    Attributes:
        name: method of its scores.
        statistic: what the number is.
        chance: the score of an explanation that tells nothing.
        texts_per_request: number of texts that the model sees at once.
        template_version: of the prompt.
        score: scores an explanation on texts with a model and a seed; a failure of the provider is in the breakdown.
    """

    name: str
    statistic: str
    chance: float
    texts_per_request: int
    template_version: int
    score: Callable[[str, Sequence[ScoredText], ScoringModel, int], Awaitable[Score]]

    def requests(self, texts: int) -> int:
        """Number of requests to the model for that many texts."""
        return math.ceil(texts / self.texts_per_request)


async def _fuzz(explanation: str, texts: Sequence[ScoredText], model: ScoringModel, seed: int) -> Score:
    return await classification.score(classification.FUZZ, explanation, texts, model, model.model, seed)


async def _detection(explanation: str, texts: Sequence[ScoredText], model: ScoringModel, seed: int) -> Score:
    return await classification.score(classification.DETECTION, explanation, texts, model, model.model, seed)


async def _recall(explanation: str, texts: Sequence[ScoredText], model: ScoringModel, seed: int) -> Score:
    return await recall_alt.score(explanation, texts, model, model.model, seed)


async def _simulation(explanation: str, texts: Sequence[ScoredText], model: ScoringModel, seed: int) -> Score:
    return await simulation.score(explanation, texts, model.answer, model.model, seed)


LANGUAGE_MODEL_SCORERS: dict[str, LanguageModelScorer] = {
    scorer.name: scorer
    for scorer in (
        LanguageModelScorer(
            classification.FUZZ,
            statistics.BALANCED_ACCURACY,
            0.5,
            classification.BATCH_TEXTS,
            classification.PROMPT_VERSION,
            _fuzz,
        ),
        LanguageModelScorer(
            classification.DETECTION,
            statistics.BALANCED_ACCURACY,
            0.5,
            classification.BATCH_TEXTS,
            classification.PROMPT_VERSION,
            _detection,
        ),
        LanguageModelScorer(
            recall_alt.METHOD,
            statistics.BALANCED_ACCURACY,
            0.5,
            recall_alt.REQUEST_TEXTS,
            recall_alt.PROMPT_VERSION,
            _recall,
        ),
        LanguageModelScorer(simulation.METHOD, statistics.CORRELATION, 0.0, 1, simulation.PROMPT_VERSION, _simulation),
    )
}
