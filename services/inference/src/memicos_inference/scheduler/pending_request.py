"""The hand-over of bodies from the model's thread to the request that waits for them on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from contextvars import copy_context

from memicos_inference.http.request_context import request_context
from memicos_inference.http.sse import Events


class PendingRequest:
    """A request that waits for its body.

    Attributes:
        client: id of the sender, for fairness between clients.
        since: when the request was submitted (time.monotonic).
        context: context variables; log lines of code that runs in it have the id of the request.
        cancelled: whether the client has disconnected, or the request was evicted.
        waiting: whether the model's thread has not begun the request yet.
    """

    def __init__(self, client: str) -> None:
        self.client = client
        self.since = time.monotonic()
        self.context = copy_context()
        self.request_context = request_context()
        self.cancelled = False
        self.waiting = True
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._unsent: list[bytes] = []
        self._error: BaseException | None = None
        self._final = False

    def send_body(self, body: bytes | None, final: bool = False, error: BaseException | None = None) -> None:
        """Hand over a body. A body replaces earlier ones that were not sent; `Events` are appended to them."""
        self.waiting = self.waiting and not final

        def receive() -> None:
            if body is not None and not isinstance(body, Events):
                self._unsent.clear()
            if body is not None:
                self._unsent.append(body)
            self._final, self._error = final, error
            self._changed.set()

        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(receive)

    def fail(self, error: BaseException) -> None:
        """End the request with an error."""
        self.send_body(None, final=True, error=error)

    async def bodies(self) -> AsyncGenerator[bytes, None]:
        """Yield the newest body, or all new events, until the request ends. Closing the generator cancels it."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                unsent, self._unsent = self._unsent, []
                final, error = self._final, self._error
                if unsent:
                    yield unsent[0] if len(unsent) == 1 else Events(b"".join(unsent))
                if error is not None:
                    raise error
                if final:
                    return
        finally:
            self.cancelled = True
