"""What of prompts was run at once, for those who count it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BatchStats:
    """Rows of a run, each a prompt or a part of one: `tokens` of all of them, `padded` with the padding."""

    rows: int
    tokens: int
    padded: int


StatsCallback = Callable[[BatchStats], None]
"""Called after each run."""


def ignore_stats(_: BatchStats) -> None:
    """For callers that do not count."""
