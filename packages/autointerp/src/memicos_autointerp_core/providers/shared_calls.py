"""Equal requests in flight share one call, so that none of them is paid twice."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.chat import Answer


@dataclass(eq=False)
class _Call:
    """`callers`: those that wait for it; `delivered`: whether one of them has what the call cost."""

    task: asyncio.Task[Answer]
    callers: int = 0
    delivered: bool = False


class SharedCalls:
    """Calls in flight of one process, by the hash of their request.

    A failure is that of all callers: the call has made all its attempts, which each caller would repeat at once. A
    caller that is cancelled leaves the others their answer; with the last one the call ends.
    """

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    async def answer(self, key: str, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """The answer of the call of `key` in flight, or of `ask`, which is called where there is none.

        One caller gets what the call cost, in its answer or its error; to the others it cost nothing.

        Raises:
            ProviderError: the call failed.
            CacheError: stored answers can be neither read nor written.
        """
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call(asyncio.create_task(ask()))
            call.task.add_done_callback(_retrieve)
        call.callers += 1
        try:
            # shielded: the other callers need it
            answer = await asyncio.shield(call.task)
        except ProviderError as error:
            if call.delivered:
                raise ProviderError(error.cause, error.message, error.option, paid=0.0) from None
            call.delivered = True
            raise
        finally:
            call.callers -= 1
            if call.task.done() or not call.callers:
                call.task.cancel()
                if self._calls.get(key) is call:
                    del self._calls[key]
        if call.delivered:
            return replace(answer, cached=True)
        call.delivered = True
        return answer


def _retrieve(task: asyncio.Task[Answer]) -> None:
    """Take the error of a call whose last caller was cancelled at the same time: asyncio would log it."""
    if not task.cancelled():
        task.exception()
