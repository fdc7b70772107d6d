"""The row of a score that this process computed itself, not the autointerp server."""

from dataclasses import dataclass
from typing import Any

from memicos_autointerp_core.providers.chat import TokenUsage
from memicos_autointerp_core.scorers.interface import BreakdownRow, Score
from memicos_autointerp_core.scorers.statistics import Estimate

from memicos_webapp.scores.rows import OUTSIDE_CORPUS, Detail, NewScore


@dataclass(frozen=True)
class ModelUse:
    """The language model that was asked for a score.

    Attributes:
        template_version: of the method's prompt.
        usage: tokens of all requests; None where the provider does not count them.
        cost: US dollars; None where the profile has no price.
    """

    profile: str
    template_version: int
    usage: TokenUsage | None
    cost: float | None


def new_score(
    explanation: int,
    corpus_id: int | None,
    score: Score,
    estimate: Estimate,
    around: int,
    parameters: dict[str, Any],
    use: ModelUse | None,
) -> NewScore:
    """The columns of a score. Without a corpus its texts are stored themselves, and not where they are."""
    rows = score.breakdown
    placed = corpus_id is not None
    usage = use.usage if use else None
    return NewScore(
        explanation_id=explanation,
        corpus_id=corpus_id,
        method=score.method,
        model=score.model,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        seed=score.seed,
        around=around,
        text_contexts=[row.text.context if placed and row.text.context is not None else OUTSIDE_CORPUS for row in rows],
        text_positions=[row.text.position or 0 for row in rows],
        text_distances=[row.text.distance for row in rows],
        text_answers=[row.probability for row in rows],
        text_details=[_detail(row, placed) for row in rows],
        parameters=parameters,
        profile=use.profile if use else None,
        template_version=use.template_version if use else None,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cost=use.cost if use else None,
    )


def _detail(row: BreakdownRow, placed: bool) -> Detail:
    detail = Detail()
    if row.marked:
        detail["marked"] = list(row.marked)
    if row.expected is not None:
        detail["expected"] = list(row.expected)
    if row.failure is not None:
        detail["failure"] = row.failure
    if not placed:
        # PostgreSQL cannot store NUL
        detail["text"] = row.text.text.replace("\0", "␀")
    return detail
