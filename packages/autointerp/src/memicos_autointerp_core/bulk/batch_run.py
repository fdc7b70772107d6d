"""Does a task over many features by batches: what has no stored answer is collected, submitted and waited for.

A pass over the items does those whose answers are stored, and writes the requests of the others to a file, within the
budget. When the batch has ended, its answers are stored, and another pass follows, until no item is left.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from memicos_autointerp_core.bulk.batch_chat import BatchChat, Waiting
from memicos_autointerp_core.bulk.estimate import Estimate, SampleStore
from memicos_autointerp_core.bulk.meter import CannotContinue, Meter
from memicos_autointerp_core.bulk.run import Outcome, run_one
from memicos_autointerp_core.bulk.task import Task, quietly, reporting, run_sampled

Key = TypeVar("Key")
Item = TypeVar("Item")


async def run_batch_task(
    task: Task[Key, Item],
    chat: BatchChat,
    meter: Meter,
    model: str,
    agree: Callable[[Estimate], Awaitable[bool]],
    report: Callable[[Outcome], Awaitable[None]],
    samples: SampleStore,
    agreed: bool = False,
) -> Outcome:
    """As `task.run_task`, but what follows the sample is sent in batches. `task.work` sends its requests by `chat`.

    Items whose answers are stored, such as those of an interrupted run's batch, are done before the cost is stated.

    Args:
        agreed: the cost was agreed to in an earlier run of the same work: there is no sample, and no estimate.
    """
    outcome = Outcome()

    async def do_answered(keys: Sequence[Key]) -> Sequence[Key]:
        chat.direct = False
        left = await _pass(task, keys, outcome)
        # the wait for a batch may end the run
        await report(outcome)
        return left

    async def do_rest(left: Sequence[Key]) -> None:
        try:
            while left and outcome.stopped is None:
                if not await chat.submit():
                    raise AssertionError("an item waits for a batch that has no request of it")
                left = await do_answered(left)
        except CannotContinue as error:
            outcome.stopped = str(error)

    profile = chat.profile
    async with reporting(report, outcome) as quiet:
        if agreed:
            await do_rest(await do_answered(task.keys))
            return outcome
        asked = quietly(agree, quiet)
        factor = profile.batch_price_factor
        await run_sampled(task, meter, profile, model, asked, do_rest, outcome, samples, do_answered, factor)
    return outcome


async def _pass(task: Task[Key, Item], keys: Sequence[Key], outcome: Outcome) -> list[Key]:
    """Do the items whose answers are stored; returns the keys of those that wait for a batch."""
    assert task.key is not None
    waiting: list[Key] = []
    async for item in task.load(keys):
        try:
            await run_one(item, task.work, task.failed, outcome)
        except Waiting:
            waiting.append(task.key(item))
        if outcome.stopped is not None:
            break
    return waiting
