"""A task over many features: a sample first, whose cost is stated, then the others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from memicos_autointerp_core.bulk.estimate import SAMPLE_ITEMS, Estimate, SampleStore, estimate, split_sample
from memicos_autointerp_core.bulk.meter import ANSWERED_CAUSES, Meter
from memicos_autointerp_core.bulk.run import Failure, Outcome, run_all
from memicos_autointerp_core.bulk.state import UNREADABLE
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.profile import Profile

Key = TypeVar("Key")
Item = TypeVar("Item")

REPORT_SECONDS = 2.0
REFUSED = "the cost was not agreed to"
FREE_WORKERS = 2
"""Items in work at once of a task without a language model: this machine does the work."""


@dataclass(frozen=True)
class Task(Generic[Key, Item]):
    """What is to be done.

    Attributes:
        keys: of all items.
        load: the items of some keys, in any order; an item is read when a worker is free for it.
        work: does one item, and stores its result.
        failed: stores an item that failed.
        key: of an item; needed for batches only.
    """

    keys: Sequence[Key]
    load: Callable[[Sequence[Key]], AsyncIterator[Item]]
    work: Callable[[Item], Awaitable[None]]
    failed: Callable[[Failure[Item]], Awaitable[None]]
    key: Callable[[Item], Key] | None = None


def worker_count(profile: Profile) -> int:
    """Items in work at once: more than requests, as items are read and stored too."""
    return profile.limits.concurrency + max(2, profile.limits.concurrency // 4)


async def run_task(
    task: Task[Key, Item],
    meter: Meter,
    profile: Profile,
    model: str,
    agree: Callable[[Estimate], Awaitable[bool]],
    report: Callable[[Outcome], Awaitable[None]],
    samples: SampleStore,
) -> Outcome:
    """Do a sample of the items, then, if `agree` says yes to the cost of the others, those.

    Args:
        agree: is asked with an estimate that was measured on the sample, unless the sample was all.
        report: is called every REPORT_SECONDS, and at the end.
        samples: has what an interrupted run of the same work has measured, which is not measured again.
    """
    outcome = Outcome()
    workers = worker_count(profile)

    async def do_rest(keys: Sequence[Key]) -> None:
        await run_all(task.load(keys), task.work, task.failed, workers, outcome)

    async with reporting(report, outcome) as quiet:
        await run_sampled(task, meter, profile, model, quietly(agree, quiet), do_rest, outcome, samples)
    return outcome


async def run_sampled(
    task: Task[Key, Item],
    meter: Meter,
    profile: Profile,
    model: str,
    agree: Callable[[Estimate], Awaitable[bool]],
    do_rest: Callable[[Sequence[Key]], Awaitable[None]],
    outcome: Outcome,
    samples: SampleStore,
    do_answered: Callable[[Sequence[Key]], Awaitable[Sequence[Key]]] | None = None,
    price_factor: float = 1.0,
) -> None:
    """Do a sample of the items, then the others by `do_rest` if `agree` says yes to their cost.

    Args:
        do_answered: does those items whose answers are stored, and returns the others.
        price_factor: price of the others, as a share of the profile's.
    """
    stored = sample = await samples.cost_sample()
    first, rest = split_sample(task.keys, max(0, SAMPLE_ITEMS - stored.items))
    # answers of an interrupted run's batches are counted before
    before = replace(meter.spending)
    measured, storing = 0, asyncio.Lock()

    async def note_measured() -> None:
        nonlocal measured, sample
        measured += 1
        sample = stored.plus(measured, meter.spending.since(before))
        # so that no former one is stored after it
        async with storing:
            await samples.store_cost_sample(sample)

    def answers() -> int:
        return meter.spending.requests + meter.spending.reused

    async def work(item: Item) -> None:
        before_item = answers()
        try:
            await task.work(item)
        except ProviderError as error:
            if error.cause in (*ANSWERED_CAUSES, UNREADABLE):
                await note_measured()
            raise
        # one without a request says nothing about the cost of the others; it never waits, so that no answer for another
        # comes meanwhile
        if answers() > before_item:
            await note_measured()

    await run_all(task.load(first), work, task.failed, worker_count(profile), outcome)
    if do_answered is not None and outcome.stopped is None:
        rest = await do_answered(rest)
    if rest and outcome.stopped is None:
        found = estimate(sample, len(rest), profile, model, price_factor)
        if await agree(found):
            await do_rest(rest)
        else:
            outcome.stopped = REFUSED


def quietly(agree: Callable[[Estimate], Awaitable[bool]], quiet: asyncio.Lock) -> Callable[[Estimate], Awaitable[bool]]:
    """`agree`, during which `reporting` reports nothing: a user may be reading a question."""

    async def asked(found: Estimate) -> bool:
        async with quiet:
            return await agree(found)

    return asked


async def run_free_task(
    task: Task[Key, Item], report: Callable[[Outcome], Awaitable[None]], workers: int = FREE_WORKERS
) -> Outcome:
    """Do all items of a task that costs nothing, `workers` of them at once; see `run_task`."""
    outcome = Outcome()
    async with reporting(report, outcome):
        await run_all(task.load(task.keys), task.work, task.failed, workers, outcome)
    return outcome


@contextlib.asynccontextmanager
async def reporting(report: Callable[[Outcome], Awaitable[None]], outcome: Outcome) -> AsyncIterator[asyncio.Lock]:
    """Calls `report` every REPORT_SECONDS, not while the lock is held, and at the end."""
    ended, quiet = asyncio.Event(), asyncio.Lock()
    reports = asyncio.create_task(_report(report, outcome, ended, quiet))
    try:
        yield quiet
    finally:
        # not cancelled: it may be using a connection
        ended.set()
        await reports
    await report(outcome)


async def _report(
    report: Callable[[Outcome], Awaitable[None]], outcome: Outcome, ended: asyncio.Event, quiet: asyncio.Lock
) -> None:
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), REPORT_SECONDS)
            return
        async with quiet:
            await report(outcome)


def progress_line(outcome: Outcome, total: int, meter: Meter | None, what: str = "features") -> str:
    """Progress in one line, with spend unless `meter` is None. `what`: name of the items."""
    failed = f", {outcome.failed:,} failed" if outcome.failed else ""
    done = f"{outcome.done:,} of {total:,} {what}{failed}"
    if meter is None:
        return done
    spending = meter.spending
    unknown = f" and the unknown cost of {spending.unpriced:,} answers" if spending.unpriced else ""
    reused = f", {spending.reused:,} stored answers used" if spending.reused else ""
    return f"{done}; ${meter.total:,.4f}{unknown} paid{reused}"
