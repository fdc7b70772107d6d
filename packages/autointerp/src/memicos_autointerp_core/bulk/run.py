"""Runs the same work on many items at once, in bounded memory, and lists those that failed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.explainers.interface import MissingEvidence

Item = TypeVar("Item")

NO_EVIDENCE = "no_evidence"
"""Cause of a failure before any request: the method needs something that the feature does not have."""


@dataclass(frozen=True)
class Failure(Generic[Item]):
    """An item without a result: `cause` for programs, `message` for people."""

    item: Item
    cause: str
    message: str


@dataclass
class Outcome:
    """How a run ended. `stopped`: why it ended before all items were done; None: it did all."""

    done: int = 0
    failed: int = 0
    stopped: str | None = None


async def run_one(
    item: Item,
    work: Callable[[Item], Awaitable[None]],
    failed: Callable[[Failure[Item]], Awaitable[None]],
    outcome: Outcome,
) -> None:
    """Do `work` on an item, and count it in `outcome`; see `run_all`."""
    try:
        await work(item)
    except ProviderError as error:
        outcome.failed += 1
        await failed(Failure(item, error.cause, error.message))
    except MissingEvidence as error:
        outcome.failed += 1
        await failed(Failure(item, NO_EVIDENCE, str(error)))
    except CannotContinue as error:
        outcome.stopped = outcome.stopped or str(error)
    else:
        outcome.done += 1


async def run_all(
    items: AsyncIterator[Item],
    work: Callable[[Item], Awaitable[None]],
    failed: Callable[[Failure[Item]], Awaitable[None]],
    workers: int,
    outcome: Outcome | None = None,
) -> Outcome:
    """Do `work` on each item, `workers` of them at a time; at most that many are in memory.

    An item whose work raises a `ProviderError` or `MissingEvidence` is handed to `failed`, and the others go on. With
    `CannotContinue` no further item is begun, and those in progress are completed, as they are paid; so it is with an
    error of `items`, which is raised then. Any other error cancels all and is raised.

    Args:
        outcome: counts while the run goes on; the one that is returned.
    """
    outcome = outcome or Outcome()
    turn = asyncio.Lock()
    fault: Exception | None = None

    async def next_item() -> Item | None:
        nonlocal fault
        async with turn:
            if outcome.stopped is not None or fault is not None:
                return None
            try:
                return await anext(items, None)
            except Exception as error:  # noqa: BLE001 (raised when the items in progress are done)
                fault = error
                return None

    async def serve() -> None:
        while (item := await next_item()) is not None:
            await run_one(item, work, failed, outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(serve())
    except ExceptionGroup as errors:
        # the first one cancelled the others
        raise errors.exceptions[0] from None
    if fault is not None:
        raise fault
    return outcome
