"""Scorer `eleuther_embedding`: is the explanation nearer, by its embedding, to texts on which the feature is active?

The score is the area under the ROC curve of the cosine similarity between the explanation and each text, as in
Paulo et al. 2024, "Automatically Interpreting Millions of Features in Large Language Models" (embedding scoring). It
needs no language model. A score of 0.5 is chance.
"""

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from memicos_autointerp_core.scorers.interface import BreakdownRow, Score, ScoredText, missing_class
from memicos_autointerp_core.scorers.statistics import auc_estimate

METHOD = "eleuther_embedding"
DECIMALS = 4
"""Similarities are rounded before they are ranked, so that a stored breakdown gives the same score again."""

Embed = Callable[[Sequence[str]], Awaitable[NDArray[np.float32]]]
"""Unit vectors of texts, shape (texts, dimensions)."""


async def score(explanation: str, texts: Sequence[ScoredText], embed: Embed, model: str, seed: int = 0) -> Score:
    """The score of an explanation on `texts`; `model` is the embedder's name.

    Whatever `embed` raises is passed on: without vectors there is no score.
    """
    return await similarity_score(METHOD, explanation, texts, embed, model, seed)


async def similarity_score(
    method: str, explanation: str, texts: Sequence[ScoredText], embed: Embed, model: str, seed: int
) -> Score:
    """The area under the ROC curve of the similarity between the explanation and each text, as a score by `method`."""
    breakdown: list[BreakdownRow] = []
    reason = missing_class([BreakdownRow(text, text.distance > 0) for text in texts])
    if texts:
        # an embedder orders a batch as it likes, so one call suffices
        vectors = await embed([explanation, *(text.text for text in texts)])
        similarities = np.round(vectors[1:].astype(np.float64) @ vectors[0].astype(np.float64), DECIMALS).tolist()
        breakdown = [
            BreakdownRow(text, text.distance > 0, probability=similarity)
            for text, similarity in zip(texts, similarities, strict=True)
        ]
    if reason:
        return Score(method, model, None, reason, seed, breakdown)
    positives, negatives = (
        [row.probability for row in breakdown if row.truth is truth and row.probability is not None]
        for truth in (True, False)
    )
    return Score(method, model, auc_estimate(positives, negatives, [seed]), None, seed, breakdown)
