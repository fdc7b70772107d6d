"""What is asked of a language model, and what it answers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One request to a model.

    Attributes:
        messages: the conversation; the last message is the user's.
        model: the model as its provider names it.
        max_tokens: most tokens that the model may generate, hidden reasoning included.
        temperature: sampling temperature; None does not send one, which some models require.
        top_logprobs: number of alternatives per token of the answer to return log probabilities of; None for none.
            Sent only where the profile offers them, otherwise `Answer.logprobs` is None.
        json_schema: JSON Schema of the answer. Sent only where the profile offers structured output; the answer of
            other providers has to be parsed tolerantly (`providers.json_answers`).
        seed: sampling seed; None sends none.
        attempt: part of the request's hash, never sent. Another number asks again for what is already stored.
    """

    messages: tuple[Message, ...]
    model: str
    max_tokens: int = 2048
    temperature: float | None = None
    top_logprobs: int | None = None
    json_schema: Mapping[str, Any] | None = field(default=None, hash=False)
    seed: int | None = None
    attempt: int = 0

    @property
    def characters(self) -> int:
        """Number of characters of all messages."""
        return sum(len(message.content) for message in self.messages)

    def digest(self, base_url: str) -> str:
        """SHA-256 (hex) of the request to this endpoint; the key of the answer cache. It contains no API key."""
        text = json.dumps({"base_url": base_url, **asdict(self)}, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class TokenUsage:
    """Tokens as the provider counted them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class TokenLogprob:
    """A token of the answer with its log probability (natural logarithm), and the most likely tokens there."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Answer:
    """A complete answer.

    Attributes:
        text: never blank.
        model: the model as the provider names it.
        usage: None where the provider does not count tokens.
        cost: in US dollars, by the profile's prices; None where usage or price is unknown.
        logprobs: per token of the answer; None where none were requested or the provider sends none.
        cached: whether the answer was stored before, or is that of an equal request in flight, so that this call cost
            nothing.
    """

    text: str
    model: str
    usage: TokenUsage | None = None
    cost: float | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    cached: bool = False

    @property
    def paid(self) -> float:
        """US dollars spent by this call: 0 for a stored answer, and where the price is unknown."""
        return 0.0 if self.cached else self.cost or 0.0


class Chat(Protocol):
    """Answers requests: a `Provider`, or what stands before one."""

    async def chat(self, request: ChatRequest) -> Answer:
        """A complete answer.

        Raises:
            ProviderError: there is none.
        """
        ...
