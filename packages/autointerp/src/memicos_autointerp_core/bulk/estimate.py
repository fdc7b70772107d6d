"""What a run will cost, by a sample of its items."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from memicos_autointerp_core.bulk.meter import Spending
from memicos_autointerp_core.providers.profile import Profile

Item = TypeVar("Item")

SAMPLE_ITEMS = 20
"""Items that are done first, to measure tokens and cost of the others. Their results are kept."""


def split_sample(items: Sequence[Item], size: int = SAMPLE_ITEMS) -> tuple[list[Item], list[Item]]:
    """At most `size` items, evenly spaced, and the others."""
    if len(items) <= size:
        return list(items), []
    chosen = {number * len(items) // size for number in range(size)}
    sample = [items[number] for number in sorted(chosen)]
    return sample, [item for number, item in enumerate(items) if number not in chosen]


@dataclass(frozen=True)
class CostSample:
    """Tokens of the answers for `items` items of a sample, as the provider counted them."""

    items: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, items: int, spending: Spending) -> "CostSample":
        """With `items` further ones, whose answers `spending` is of."""
        prompt, completion = spending.prompt_tokens, spending.completion_tokens
        return CostSample(self.items + items, self.prompt_tokens + prompt, self.completion_tokens + completion)


class SampleStore(Protocol):
    """The sample of one work, so that a run which continues it measures, and pays for, no second one."""

    async def cost_sample(self) -> CostSample:
        """The stored one, of no items where there is none."""
        ...

    async def store_cost_sample(self, sample: CostSample) -> None:
        """Store a sample in place of the former one; on return it outlives a kill of this process."""
        ...


@dataclass(frozen=True)
class Estimate:
    """Tokens and cost of the rest of a run.

    Attributes:
        items: number of items that are left.
        sampled: number of items that the sample's answers were for; 0 where no request was answered.
        prompt_tokens, completion_tokens: of one item, on average.
        cost: US dollars of all items that are left; None where the model has no price, or the
            provider counts no tokens.
        price_factor: the price that it is at, as a share of the profile's: less than 1 in batches.
    """

    items: int
    sampled: int
    prompt_tokens: float
    completion_tokens: float
    cost: float | None
    price_factor: float = 1.0


def estimate(sample: CostSample, items: int, profile: Profile, model: str, price_factor: float = 1.0) -> Estimate:
    """The cost of `items` further items, each like those of the sample.

    Args:
        price_factor: their price, as a share of the profile's.
    """
    prompt, completion = (tokens / max(sample.items, 1) for tokens in (sample.prompt_tokens, sample.completion_tokens))
    each = profile.cost(model, 1_000_000, 0), profile.cost(model, 0, 1_000_000)
    cost = None
    if each[0] is not None and each[1] is not None and sample.prompt_tokens:
        cost = price_factor * items * (prompt * each[0] + completion * each[1]) / 1e6
    return Estimate(items, sample.items, prompt, completion, cost, price_factor)


def describe(found: Estimate, model: str, profile: Profile, what: str = "features") -> str:
    """The estimate in one line. `what`: name of the items."""
    if not found.sampled:
        return f"{found.items:,} {what}: no request of the sample was answered, so their cost is unknown"
    tokens = f"{found.prompt_tokens:,.0f} + {found.completion_tokens:,.0f} tokens each"
    if not found.prompt_tokens:
        price = "the provider does not count tokens, so their cost is unknown"
    elif found.cost is None:
        price = f"the profile {profile.name} has no price of {model}, so their cost is unknown"
    else:
        price = f"about ${found.cost:,.2f}"
        if found.price_factor != 1:
            price += f" in batches, at {found.price_factor:.0%} of the price"
    return f"{found.items:,} {what}, {tokens} (measured on {found.sampled}): {price}"
