"""JSON of scores, with the field names of published clients."""

import json
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from memicos_webapp.scores.rows import ScoreRow
from memicos_webapp.scores.texts import ScoredText


class ScoreBody(BaseModel):
    """A score of an explanation."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """id of the score"""
    explanationId: str
    """id of the explanation"""
    explanationScoreTypeName: str
    """method of the score"""
    explanationScoreModelName: str
    """language model or embedder that answered"""
    value: float | None
    """the score; 0.5 is chance, 1 the best; null where there is none"""
    low: float | None
    """lower end of the 95% bootstrap interval"""
    high: float | None
    """upper end of the interval"""
    reason: str | None
    """why there is no score"""
    positives: int
    """texts with an answer on which the feature is active"""
    negatives: int
    """texts with an answer on which it is not"""
    failed: int
    """texts without an answer, which do not count"""
    seed: int
    """seed of every random choice"""
    initiatedByUserId: str | None
    """account that asked for it; null for scores of a dataset"""
    jsonDetails: str
    """the texts as a JSON list of {text, distance, similarity or probability}: distance is 1 for the strongest
    examples, 2 and above for intervals from strong to weak, -1 where the feature is not active, -2 for near misses"""
    createdAt: datetime
    """when it was stored"""

    @classmethod
    def from_row(cls, row: ScoreRow, texts: list[ScoredText]) -> "ScoreBody":
        answer = "similarity" if row.method == "eleuther_embedding" else "probability"
        details = [
            {"text": "".join(text.tokens), "distance": text.distance, answer: _rounded(text.answer)} for text in texts
        ]
        return cls(
            id=str(row.id),
            explanationId=str(row.explanation_id),
            explanationScoreTypeName=row.method,
            explanationScoreModelName=row.model,
            value=_rounded(row.value),
            low=_rounded(row.low),
            high=_rounded(row.high),
            reason=row.reason,
            positives=row.positives,
            negatives=row.negatives,
            failed=row.failed,
            seed=row.seed,
            initiatedByUserId=row.author,
            jsonDetails=json.dumps(details, ensure_ascii=False),
            createdAt=row.created_at,
        )


def _rounded(number: float | None) -> float | None:
    """Four decimals: the database has 32 bits of each number, which JSON would show as 17 digits."""
    return None if number is None else round(number, 4)
