"""Reading a stream of inference at its own speed, whatever the speed of the visitor that gets it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def read_ahead(first: T, events: AsyncGenerator[T]) -> AsyncGenerator[list[T]]:
    """`first` and `events`, in lists of those that have come meanwhile.

    A visitor that reads slowly, or not at all, thus holds a connection to inference no longer than the text is
    generated; the events of one text are kept in memory. An exception of `events` is raised after the events before it.
    Closing this generator closes `events`.
    """
    unread: list[T] = [first]
    changed = asyncio.Event()
    changed.set()
    ended = False

    async def read() -> None:
        nonlocal ended
        try:
            async for event in events:
                unread.append(event)
                changed.set()
        finally:
            ended = True
            changed.set()

    task = asyncio.create_task(read())
    try:
        while True:
            await changed.wait()
            changed.clear()
            is_last = ended
            batch, unread = unread, []
            if batch:
                yield batch
            if is_last:
                await task
                return
    finally:
        task.cancel()
        # shielded: a second cancellation would reach the task while it closes its connection
        await asyncio.shield(asyncio.gather(task, return_exceptions=True))
        await events.aclose()
