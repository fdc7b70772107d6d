"""What of prompts was run at once, for those who count it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Slice:
    """Rows of a run, each a prompt or a part of one: `tokens` of all of them, `padded` with the padding."""

    rows: int
    tokens: int
    padded: int


Ran = Callable[[Slice], None]
"""Called after each run."""


def uncounted(_: Slice) -> None:
    """For callers that do not count."""
