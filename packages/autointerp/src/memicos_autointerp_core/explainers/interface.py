"""What an explainer is given, its options, and the explanation that it returns."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from memicos_autointerp_core.explainers.explanation_parser import parse_explanation
from memicos_autointerp_core.explainers.prompt_template import PromptTemplate, read_template
from memicos_autointerp_core.providers.chat import Chat, ChatRequest, Message, TokenUsage


@dataclass(frozen=True)
class ActivatingText:
    """A text as its tokens, with the feature's activation on each (same length).

    `dfa_values`: for features of an attention layer, how much each token contributed to the activation on the token
    `dfa_target` (direct feature attribution).
    """

    tokens: Sequence[str]
    values: Sequence[float]
    dfa_values: Sequence[float] | None = None
    dfa_target: int | None = None

    def __post_init__(self) -> None:
        if not self.tokens or len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens, but {len(self.values)} values")
        if (self.dfa_values is None) != (self.dfa_target is None):
            raise ValueError("dfa_values and the target that they belong to are given together")
        if self.dfa_values is not None and len(self.dfa_values) != len(self.tokens):
            raise ValueError(f"{len(self.tokens)} tokens, but {len(self.dfa_values)} dfa_values")
        if self.dfa_target is not None and not 0 <= self.dfa_target < len(self.tokens):
            raise ValueError(f"dfa_target is {self.dfa_target}, but there are {len(self.tokens)} tokens")

    @property
    def strongest(self) -> int:
        """Position of the largest activation, the first of equal ones."""
        return max(range(len(self.values)), key=lambda position: self.values[position])


@dataclass(frozen=True)
class Evidence:
    """What is known of a feature.

    Attributes:
        texts: top-activating texts, the strongest first.
        top_logits: the tokens whose logits the feature raises most, the strongest first.
        negatives: examples of the nearest features, on which this feature is silent; empty: the prompt has none.
    """

    texts: Sequence[ActivatingText]
    top_logits: Sequence[str] = ()
    negatives: Sequence[ActivatingText] = ()


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
    """`model` as its provider names it; `usage` and `cost` (US dollars) are None where they are unknown; `cached`:
    the answer was stored before, and nothing was paid; `parameters`: what shaped the prompt and the answer."""

    text: str
    method: str
    template_version: int
    model: str
    parameters: Mapping[str, Any]
    usage: TokenUsage | None
    cost: float | None
    cached: bool


class MissingEvidence(ValueError):
    """The explainer needs something of the feature that was not given."""


class Explainer(ABC):
    """A method of explaining a feature by one request to a language model."""

    name: ClassVar[str]
    template_version: ClassVar[int] = 1
    max_texts: ClassVar[int] = 10
    """Number of texts that the prompt shows; further ones are left out."""

    @property
    def template(self) -> PromptTemplate:
        return read_template(self.name, self.template_version)

    @abstractmethod
    def messages(self, evidence: Evidence, options: ExplainerOptions) -> tuple[str, str]:
        """System and user message.

        Raises:
            MissingEvidence: the method needs evidence that is not there.
        """

    def request(self, evidence: Evidence, model: str, options: ExplainerOptions, attempt: int = 0) -> ChatRequest:
        """The request to the language model; for `attempt` see `ChatRequest`.

        Raises:
            MissingEvidence: the method needs evidence that is not there.
        """
        system, user = self.messages(evidence, options)
        messages = (Message("system", system), Message("user", user))
        return ChatRequest(messages, model, options.max_tokens, options.temperature, attempt=attempt)

    async def explain(
        self, evidence: Evidence, provider: Chat, model: str, options: ExplainerOptions, attempt: int = 0
    ) -> Explanation:
        """An explanation of the feature.

        Raises:
            MissingEvidence: the method needs evidence that is not there.
            ProviderError: the language model gave no explanation.
        """
        answer = await provider.chat(self.request(evidence, model, options, attempt))
        text = parse_explanation(answer.text, options.explanation_characters)
        parameters: dict[str, Any] = {
            "texts": min(len(evidence.texts), self.max_texts),
            "negatives": len(evidence.negatives),
            "highlight_share": options.highlight_share,
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
        }
        return Explanation(
            text, self.name, self.template_version, answer.model, parameters, answer.usage, answer.cost, answer.cached
        )
