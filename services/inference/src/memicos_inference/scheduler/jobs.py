"""A request's work on its way to the model's thread and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from memicos_inference.http.request_context import request_context
from memicos_inference.http.sse import Events

if TYPE_CHECKING:  # imports torch
    from memicos_engine.capture.batched_ops import CaptureSteps
    from memicos_engine.capture.capture import CaptureRequest
    from memicos_engine.generation.generation import Generation

    from memicos_inference.loaded_model import LoadedModel


Writing = Generator["Generation | bytes | None", None, None]
"""Yields what is to be written; then, whenever it has advanced, the answer so far, events or None; last no None."""
Job = Callable[["LoadedModel"], "bytes | CaptureSteps[bytes] | Writing"]
"""Gives a body, at once or after the steps of a reading; or writes a text."""


class Work:
    """A job, and who waits for it on which event loop. A body replaces an earlier one not yet taken; events join it.

    `client` is who asks, for taking turns; `steps`, `wanted` and `generation` are what the job yields. What is run in
    `context` is logged with the id of the request.
    """

    def __init__(self, job: Job, client: str) -> None:
        self.job = job
        self.client = client
        self.since = time.monotonic()
        self.context = copy_context()
        self.asked = request_context()
        self.cancelled = False
        self.waits = True
        """For the model, which has not taken it up yet."""
        self.steps: Generator[Any, Any, Any] | None = None
        self.wanted: CaptureRequest | None = None
        self.generation: Generation | None = None
        self.written = 0
        """Tokens of the generation that are counted."""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._untaken: list[bytes] = []
        self._error: BaseException | None = None
        self._ended = False

    def give(self, body: bytes | None, ended: bool = False, error: BaseException | None = None) -> None:
        """From the model's thread: hand over what is there."""
        self.waits = self.waits and not ended

        def take() -> None:
            if body is not None and not isinstance(body, Events):
                self._untaken.clear()
            if body is not None:
                self._untaken.append(body)
            self._ended, self._error = ended, error
            self._changed.set()

        with suppress(RuntimeError):  # a loop that is closed: nobody is there
            self._loop.call_soon_threadsafe(take)

    def fail(self, error: BaseException) -> None:
        """It ends with this."""
        self.give(None, ended=True, error=error)

    async def bodies(self) -> AsyncGenerator[bytes, None]:
        """The newest body, or all events since, each time there is one; leaving the loop cancels the work."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                untaken, self._untaken = self._untaken, []
                ended, error = self._ended, self._error
                if untaken:
                    yield untaken[0] if len(untaken) == 1 else Events(b"".join(untaken))
                if error is not None:
                    raise error
                if ended:
                    return
        finally:
            self.cancelled = True
