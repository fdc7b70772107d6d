"""The language model that a scorer asks, with what its answers cost."""

from collections.abc import Callable, Mapping
from typing import Any

from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.chat import Answer, Chat, ChatRequest, Message, TokenUsage


class ScoringModel:
    """Asks one model of a provider. Calling it is the `Ask` of scorers, `answer` the `AskAnswer` of `simulation`.

    Args:
        provider: the endpoint with its key.
        model: the model as the endpoint names it.
        max_tokens, temperature: see `ChatRequest`.
        attempt: another number asks again for what is stored (`ChatRequest.attempt`).
        on_finish: called after each request, whether it was answered or failed.

    Attributes:
        finished: number of requests so far that were answered or failed.
        model: the model as the endpoint names it.
        usage: tokens of all answers so far; answers that were stored before count too.
        paid: US dollars spent so far; None where an answer's price is unknown.
        answered_by: the model as the provider names it; `model` before the first answer.
    """

    def __init__(
        self,
        provider: Chat,
        model: str,
        max_tokens: int = 2048,
        temperature: float | None = None,
        attempt: int = 0,
        on_finish: Callable[[], None] | None = None,
    ) -> None:
        self._provider = provider
        self.model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._attempt = attempt
        self._on_finish = on_finish
        self.finished = 0
        self.usage = TokenUsage(0, 0)
        self.paid: float | None = 0.0
        self.answered_by = model

    @property
    def counted_usage(self) -> TokenUsage | None:
        """`usage`; None where the provider does not count tokens."""
        return self.usage if self.usage.prompt_tokens else None

    async def __call__(self, system: str, user: str, schema: Mapping[str, Any] | None = None) -> str:
        """The text of the model's answer, as JSON of `schema` where the provider offers structured output.

        Raises:
            ProviderError: there is no complete answer.
        """
        return (await self._ask(system, user, schema=schema)).text

    async def answer(self, system: str, user: str, top_logprobs: int) -> Answer:
        """The model's answer, with that many alternatives to each of its tokens where the provider sends them.

        Raises:
            ProviderError: there is no complete answer.
        """
        return await self._ask(system, user, top_logprobs=top_logprobs)

    async def _ask(
        self, system: str, user: str, schema: Mapping[str, Any] | None = None, top_logprobs: int | None = None
    ) -> Answer:
        messages = (Message("system", system), Message("user", user))
        request = ChatRequest(
            messages,
            self.model,
            self._max_tokens,
            self._temperature,
            top_logprobs=top_logprobs,
            json_schema=schema,
            attempt=self._attempt,
        )
        try:
            answer = await self._provider.chat(request)
            self._count(answer)
        except ProviderError as error:
            if error.paid and self.paid is not None:
                self.paid += error.paid
            raise
        finally:
            self.finished += 1
            if self._on_finish:
                self._on_finish()
        return answer

    def _count(self, answer: Answer) -> None:
        self.answered_by = answer.model
        if answer.usage:
            self.usage = TokenUsage(
                self.usage.prompt_tokens + answer.usage.prompt_tokens,
                self.usage.completion_tokens + answer.usage.completion_tokens,
            )
        if answer.cost is None and not answer.cached:
            self.paid = None
        elif self.paid is not None:
            self.paid += answer.paid
