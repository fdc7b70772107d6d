"""Size of one forward pass over prompts, for metrics."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BatchStats:
    """`rows` of a forward pass, each a prompt or a part of one; their `tokens` without padding, `padded` with it."""

    rows: int
    tokens: int
    padded: int


StatsCallback = Callable[[BatchStats], None]
"""Called after each forward pass."""


def ignore_stats(_: BatchStats) -> None:
    """The callback of callers that collect no metrics."""
