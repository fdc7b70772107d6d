"""Types that every explainer takes and returns."""

from collections.abc import Sequence
from dataclasses import dataclass

from memicos_autointerp_core.providers.chat import TokenUsage


@dataclass(frozen=True)
class ActivatingText:
    """A text as its tokens, with the feature's activation on each (same length)."""

    tokens: Sequence[str]
    values: Sequence[float]

    def __post_init__(self) -> None:
        if not self.tokens or len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens, but {len(self.values)} values")


@dataclass(frozen=True)
class ExplainerOptions:
    """`highlight_share`: in (0, 1); `explanation_characters`: longest explanation that is accepted; `max_tokens` and
    `temperature`: see `ChatRequest`."""

    highlight_share: float = 0.6
    explanation_characters: int = 500
    max_tokens: int = 2048
    temperature: float | None = None


@dataclass(frozen=True)
class Explanation:
    """`model` as its provider names it; `usage` is None where the provider does not count tokens."""

    text: str
    method: str
    model: str
    usage: TokenUsage | None
