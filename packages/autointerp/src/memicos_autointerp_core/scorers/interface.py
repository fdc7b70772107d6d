"""Types that scorers take and return."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from memicos_autointerp_core.errors import ProviderCause, ProviderError
from memicos_autointerp_core.scorers.statistics import Estimate

Result = TypeVar("Result")

NOT_ACTIVE = -1
"""Distance of a text from a random context, on which the feature is not active."""
NEAR_MISS = -2
"""Distance of a text on which the feature is not active, and one of its nearest neighbours is."""
MIN_PER_CLASS = 5
"""Fewest texts of each class with an answer. With fewer there is a reason in place of a score."""

Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[str]]
"""The text of a language model's answer to a system and a user message, as JSON of a schema where the provider offers
structured output; raises ProviderError where there is none (`language_model.ScoringModel`)."""


@dataclass(frozen=True)
class ScoredText:
    """A text that a scorer asks about.

    Attributes:
        tokens: the text as tokens.
        values: the feature's activation on each of them.
        distance: 1 for the strongest examples, 2 and above for intervals of activations from strong to weak,
            NOT_ACTIVE or NEAR_MISS.
        context: number of the context in its corpus; None outside a corpus.
        position: position in the context that the text was cut around.
    """

    tokens: Sequence[str]
    values: Sequence[float]
    distance: int
    context: int | None = None
    position: int | None = None

    def __post_init__(self) -> None:
        if not self.tokens or len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens, but {len(self.values)} values")
        if self.active != (self.distance > 0):
            raise ValueError(f"distance {self.distance} contradicts the largest value, {max(self.values)}")

    @property
    def active(self) -> bool:
        return max(self.values) > 0

    @property
    def text(self) -> str:
        return "".join(self.tokens)


@dataclass(frozen=True)
class BreakdownRow:
    """One text of a score.

    Attributes:
        text: the text, and its distance.
        marked: positions of the tokens that were marked in the text.
        truth: what the right answer is.
        prediction: the answer; None where the method gives no yes or no, or gave no answer.
        probability: of the answer yes, from 0 to 1; for methods by embeddings the cosine similarity, for `simulation`
            the largest expected activation as a share of the largest possible one.
        expected: for `simulation` the expected activation of each token.
        failure: why there is no answer; such a text does not count.
    """

    text: ScoredText
    truth: bool
    prediction: bool | None = None
    probability: float | None = None
    marked: tuple[int, ...] = ()
    expected: tuple[float, ...] | None = None
    failure: str | None = None

    @property
    def correct(self) -> bool | None:
        return None if self.prediction is None else self.prediction == self.truth


@dataclass(frozen=True)
class Score:
    """A score with all that it was computed from.

    Attributes:
        method: name of the scorer.
        model: the language model or the embedder that answered.
        estimate: None where there is no score; `reason` then says why.
        positives, negatives: number of texts of each class with an answer.
        seed: of the bootstrap and of the order of the texts.
    """

    method: str
    model: str
    estimate: Estimate | None
    reason: str | None
    seed: int
    breakdown: list[BreakdownRow] = field(repr=False)

    @property
    def positives(self) -> int:
        return sum(row.truth and row.failure is None for row in self.breakdown)

    @property
    def negatives(self) -> int:
        return sum(not row.truth and row.failure is None for row in self.breakdown)

    @property
    def failures(self) -> dict[str, int]:
        """Number of texts without an answer, by cause."""
        return dict(Counter(row.failure for row in self.breakdown if row.failure is not None))

    def raise_without_answers(self) -> None:
        """
        Raises:
            ProviderError: there is no score since the language model did not answer; `reason` is about its texts
                otherwise.
        """
        causes = self.failures
        if self.estimate is not None or not causes:
            return
        cause = max(causes, key=lambda name: causes[name])
        message = f"{sum(causes.values())} of {len(self.breakdown)} texts had no answer."
        raise ProviderError(cast(ProviderCause, cause), message)


def missing_class(rows: Sequence[BreakdownRow], minimum: int = MIN_PER_CLASS) -> str | None:
    """Why rows are too few for a score; None where they suffice."""
    answered = [row for row in rows if row.failure is None]
    positives = sum(row.truth for row in answered)
    negatives = len(answered) - positives
    if positives >= minimum and negatives >= minimum:
        return None
    causes = Counter(row.failure for row in rows if row.failure is not None)
    named = ", ".join(f"{cause}: {count}" for cause, count in sorted(causes.items()))
    lost = f"; {causes.total()} had no answer ({named})" if causes else ""
    return (
        f"A score needs {minimum} texts of each class with an answer: there are {positives} on which the feature is "
        f"active and {negatives} on which it is not{lost}."
    )


def missing_texts(texts: Sequence[ScoredText]) -> str | None:
    """Why texts are too few for a score, whatever the answers; None where they suffice."""
    return missing_class([BreakdownRow(text, text.active) for text in texts])


async def all_finished(calls: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results of all calls, run at once. The first error is raised after all have ended: each may be paid."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
