"""Merging of streams that run at the same time."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def merge(streams: Sequence[AsyncGenerator[T]]) -> AsyncGenerator[T]:
    """Items of all streams in the order in which they come.

    The first failure, and closing this generator, close all streams.
    """
    pending: dict[asyncio.Task[T | None], AsyncGenerator[T]] = {}

    def read(stream: AsyncGenerator[T]) -> None:
        pending[asyncio.ensure_future(_next_item(stream))] = stream

    for stream in streams:
        read(stream)
    try:
        while pending:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                item = task.result()
                stream = pending.pop(task)
                if item is not None:
                    read(stream)
                    yield item
    finally:
        for task in pending:
            task.cancel()
        # shielded: a second cancellation would reach the tasks while they close their connections
        await asyncio.shield(asyncio.gather(*pending, return_exceptions=True))
        for stream in streams:
            await stream.aclose()


async def _next_item(stream: AsyncGenerator[T]) -> T | None:
    return await anext(stream, None)
