"""Rows of scores."""

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from memicos_autointerp_core.scorers.interface import NEAR_MISS

from memicos_webapp.formatting import url_segment

OUTSIDE_CORPUS = -1
"""Number of the context of a text that is not cut from the corpus."""


class Detail(TypedDict, total=False):
    """What a method says of a text beside its answer."""

    marked: list[int]
    """Positions of the tokens that were marked in the text."""
    expected: list[float]
    """The expected activation of each token, 0 to 9."""
    failure: str
    """Why there is no answer."""
    text: str
    """The text, where it is not cut from the corpus."""


@dataclass(frozen=True)
class ScoreRow:
    """A score of an explanation; `author` is None for scores of a dataset. `models.Score` explains the columns."""

    id: int
    explanation_id: int
    method: str
    model: str
    value: float | None
    low: float | None
    high: float | None
    reason: str | None
    seed: int
    around: int
    corpus_id: int | None
    text_contexts: list[int]
    text_positions: list[int]
    text_distances: list[int]
    text_answers: list[float | None]
    author: str | None
    author_id: int | None
    created_at: datetime
    text_details: list[Detail] | None
    template_version: int | None
    profile: str | None
    parameters: dict[str, Any] | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None

    @property
    def strength(self) -> float | None:
        """Of the steering by which the texts were made; None where `parameters` have none, or no number as such."""
        found = (self.parameters or {}).get("strength")
        if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > sys.float_info.max:
            return None
        return float(found)

    def detail(self, number: int) -> Detail:
        """What the method says of a text, by the text's number."""
        return self.text_details[number] if self.text_details else Detail()

    def _count(self, active: bool) -> int:
        pairs = zip(self.text_distances, self.text_answers, strict=True)
        return sum((distance > 0) is active and answer is not None for distance, answer in pairs)

    @property
    def positives(self) -> int:
        """Texts with an answer on which the feature is active."""
        return self._count(active=True)

    @property
    def negatives(self) -> int:
        """Texts with an answer on which it is not."""
        return self._count(active=False)

    @property
    def failed(self) -> int:
        """Texts without an answer, which do not count."""
        return sum(answer is None for answer in self.text_answers)

    @property
    def near_misses(self) -> int:
        """Texts of similar features with an answer on which the feature is not active."""
        pairs = zip(self.text_distances, self.text_answers, strict=True)
        return sum(distance == NEAR_MISS and answer is not None for distance, answer in pairs)

    @property
    def failures(self) -> dict[str, int]:
        """Texts without an answer by cause; empty where the causes are not known."""
        return dict(Counter(detail["failure"] for detail in self.text_details or () if "failure" in detail))


@dataclass(frozen=True)
class NewScore:
    """The columns of a score to be stored, without its author."""

    explanation_id: int
    corpus_id: int | None
    method: str
    model: str
    value: float
    low: float
    high: float
    seed: int
    around: int
    text_contexts: list[int]
    text_positions: list[int]
    text_distances: list[int]
    text_answers: list[float | None]
    text_details: list[Detail]
    parameters: dict[str, Any]
    template_version: int | None = None
    profile: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True)
class LabelScore:
    """The score of a feature's label, in a source's table of features."""

    index: int
    id: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ListedScore:
    """A score with its explanation and feature, in a list over sources."""

    id: int
    model_id: str
    name: str
    index: int
    description: str
    model: str
    value: float | None
    low: float | None
    high: float | None
    created_at: datetime

    @property
    def path(self) -> str:
        """The feature's page."""
        return f"/{url_segment(self.model_id)}/{url_segment(self.name)}/{self.index}"
