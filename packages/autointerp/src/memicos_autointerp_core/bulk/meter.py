"""Counts what requests cost, and lets none begin that could exceed the budget."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from memicos_autointerp_core.errors import STOPPING_CAUSES, ProviderError
from memicos_autointerp_core.providers.chat import Answer, ChatRequest

if TYPE_CHECKING:
    # the client loads the openai library, for half a second
    from memicos_autointerp_core.providers.client import Provider

Pay = Callable[[float], Awaitable[None]]

MESSAGE_BYTES = 64
"""Bytes that are added to each message's text for the tokens of its role and its ends."""


ANSWERED_CAUSES = ("truncated", "empty", "filtered")
"""Causes of failures whose request was answered, and so is paid."""


class CannotContinue(Exception):
    """Every further request would fail for the same reason."""


class BudgetReached(CannotContinue):
    """No further request fits into the budget."""

    def __init__(self, budget: float, paid: float) -> None:
        super().__init__(f"The budget of ${budget:,.2f} is reached: ${paid:,.4f} are paid.")


@dataclass
class Spending:
    """What a run has paid.

    Attributes:
        paid: US dollars; answers without a known price are not in it.
        requests: answers that were paid for.
        reused: answers that were stored before, and cost nothing.
        unpriced: paid answers without a known price.
        prompt_tokens, completion_tokens: of all these answers, as the provider counted them.
    """

    paid: float = 0.0
    requests: int = 0
    reused: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def since(self, before: "Spending") -> "Spending":
        """What was paid after `before`."""
        return Spending(**{name: value - getattr(before, name) for name, value in asdict(self).items()})


class Meter:
    """A `Chat` that stays within a budget.

    A request begins only while the money that is paid, and the most that the requests in flight can cost, leave enough
    for the most that it can cost itself: a token has at least one byte, and an answer at most `max_tokens` tokens. So
    the answers that arrive never exceed the budget; attempts that timed out are not counted. Where only requests in
    flight are in the way, it waits for them.

    Args:
        provider: the endpoint, with a cache of answers.
        budget: US dollars; None: no limit.
        before: US dollars that interrupted runs of the same work have paid; they count towards the budget.
        pay: records US dollars of answers whose cost no cache records: unusable ones, and those without a count of
            their tokens.
    """

    def __init__(
        self, provider: "Provider", budget: float | None = None, before: float = 0.0, pay: Pay | None = None
    ) -> None:
        self._provider = provider
        self._budget = budget
        self._before = before
        self._record = pay
        self._reserved: list[float] = []
        self._changed = asyncio.Condition()
        self.spending = Spending()

    @property
    def total(self) -> float:
        """US dollars paid, by interrupted runs too."""
        return self._before + self.spending.paid

    async def chat(self, request: ChatRequest) -> Answer:
        """The answer to a request: the stored one, or one that is paid for.

        Raises:
            BudgetReached: it does not fit into the budget. Nothing was sent.
            CannotContinue: the cause is one that every further request has as well (`STOPPING_CAUSES`).
            ProviderError, CacheError: see `Provider.chat`.
        """
        stored = await self._provider.stored(request)
        if stored is not None:
            self._count(stored, 0.0)
            return stored
        reserved = await self._reserve(request)
        try:
            answer = await self._provider.chat(request)
            self._count(answer, reserved)
            if answer.cost is None and not answer.cached:
                await self._store(reserved)
        except ProviderError as error:
            # of an answer without a count of its tokens, the most that it can have cost
            await self.count_unusable(error, reserved)
            if error.cause in STOPPING_CAUSES:
                raise CannotContinue(f"{error.cause}: {error.message}") from None
            raise
        finally:
            async with self._changed:
                self._reserved.remove(reserved)
                self._changed.notify_all()
        return answer

    def fits(self, max_cost: float, reserved: float) -> bool:
        """Whether the budget has room for a request that costs at most `max_cost`, beside others of `reserved`."""
        return self._budget is None or self.total + reserved + max_cost <= self._budget

    @property
    def budget(self) -> float | None:
        return self._budget

    async def count(self, answer: Answer, max_cost: float) -> None:
        """Count a stored answer that came otherwise than by `chat`; `max_cost`: the most that it can have cost."""
        self._count(answer, max_cost)
        if answer.cost is None and not answer.cached:
            await self._store(max_cost)

    async def count_unusable(self, error: ProviderError, max_cost: float) -> None:
        """Count an answer that cannot be used, and came otherwise than by `chat`."""
        paid = max_cost if error.paid is None and error.cause in ANSWERED_CAUSES else error.paid or 0.0
        self.spending.paid += paid
        await self._store(paid)

    async def _store(self, paid: float) -> None:
        if paid and self._record:
            await self._record(paid)

    def _count(self, answer: Answer, reserved: float) -> None:
        spending = self.spending
        if answer.usage:
            spending.prompt_tokens += answer.usage.prompt_tokens
            spending.completion_tokens += answer.usage.completion_tokens
        if answer.cached:
            spending.reused += 1
            return
        spending.requests += 1
        spending.unpriced += answer.cost is None
        # of an answer without a count of its tokens, the most that it can have cost
        spending.paid += reserved if answer.cost is None else answer.cost

    async def _reserve(self, request: ChatRequest) -> float:
        """The most that the request can cost, 0 without a budget, once there is room for it."""
        if self._budget is None:
            max_cost = 0.0
        elif (max_cost := self.largest_cost(request)) is None:
            raise CannotContinue(
                f"The profile {self._provider.profile.name} has no price of {request.model}, so that no budget can be "
                "kept."
            )
        async with self._changed:
            while self._budget is not None and self.total + sum(self._reserved) + max_cost > self._budget:
                if not self._reserved:
                    raise BudgetReached(self._budget, self.total)
                await self._changed.wait()
            self._reserved.append(max_cost)
        return max_cost

    def largest_cost(self, request: ChatRequest) -> float | None:
        """The most that a request can cost, in US dollars; None where the model has no price."""
        prompt = sum(len(message.content.encode()) + MESSAGE_BYTES for message in request.messages)
        if request.json_schema is not None:
            prompt += len(json.dumps(request.json_schema).encode())
        return self._provider.profile.cost(request.model, prompt, request.max_tokens)
