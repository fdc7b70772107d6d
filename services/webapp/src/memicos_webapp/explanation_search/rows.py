"""Rows of search of explanations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DensityRange:
    """Shares of tokens between which a feature's density lies."""

    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """An explanation that may be a result.

    `distance` is 1 - cosine of query and explanation, None without a vector. `word_rank` is PostgreSQL's ts_rank, 0
    where no word matched.
    """

    id: int
    source_id: int
    index: int
    distance: float | None
    word_rank: float


@dataclass(frozen=True)
class MatchedExplanation:
    """An explanation; `marked` is its text with MARK_START and MARK_END around the words that match the query."""

    id: int
    description: str
    marked: str
    method: str
    model: str | None
