"""Rows of scores."""

from dataclasses import dataclass
from datetime import datetime

from memicos_webapp.formatting import url_segment


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
    created_at: datetime

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
