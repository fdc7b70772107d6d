"""The pace at which the bodies of a visitor's requests are read: refused bodies cost time before they are refused."""

import asyncio
import time

from starlette.types import Message, Receive

CLEAN_SECONDS = 1.0
"""How often visitors whose allowance is full again are forgotten."""


class BodyPace:
    """Bytes that may be read of each visitor: `burst` at once, then `bytes_per_second`; others wait."""

    def __init__(self, bytes_per_second: int, burst: int) -> None:
        self._rate = bytes_per_second
        self._burst_seconds = burst / bytes_per_second
        self._full_at: dict[str, float] = {}
        """When the allowance of each visitor is full again."""
        self._cleaned_at = 0.0

    def delay(self, visitor: str, size: int, now: float) -> float:
        """Seconds that `visitor` has to wait for `size` bytes that were read at `now`; the bytes are counted."""
        if now >= self._cleaned_at + CLEAN_SECONDS:
            self._cleaned_at = now
            self._full_at = {name: full_at for name, full_at in self._full_at.items() if full_at > now}
        full_at = max(now, self._full_at.get(visitor, now)) + size / self._rate
        self._full_at[visitor] = full_at
        return max(0.0, full_at - now - self._burst_seconds)

    def limit(self, receive: Receive, visitor: str) -> Receive:
        """`receive` at the pace of `visitor`. Meanwhile the server reads no more from the connection."""

        async def receive_paced() -> Message:
            message = await receive()
            if body := message.get("body"):
                await asyncio.sleep(self.delay(visitor, len(body), time.monotonic()))
            return message

        return receive_paced
