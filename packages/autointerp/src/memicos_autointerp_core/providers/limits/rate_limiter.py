"""Keeps the calls of one key within the provider's limits: at once, per minute, and tokens per minute."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from memicos_autointerp_core.providers.profile import ProviderLimits

USED_SHARE = 0.98
"""Share of the stated rate that is used. With BURST_SECONDS, no 60 seconds then hold more requests than stated:
0.98 x (60 + 1) / 60 < 1."""
BURST_SECONDS = 1.0
"""Calls that were possible in this time, and were not made, can be made up for at once."""


class _Meter:
    """The moment up to which units of a rate are used (generic cell rate algorithm, ITU-T I.371)."""

    def __init__(self, per_minute: float) -> None:
        self._seconds_per_unit = 60 / (per_minute * USED_SHARE)
        self._used_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next call may be made."""
        return self._used_until - BURST_SECONDS - now

    def take(self, now: float, units: float) -> None:
        self._used_until = max(self._used_until, now) + units * self._seconds_per_unit

    def correct(self, units: float) -> None:
        """Add units that were used beyond those taken; a negative number gives back."""
        self._used_until += units * self._seconds_per_unit


class RateLimiter:
    """Lets calls through in the order of their arrival."""

    def __init__(self, limits: ProviderLimits) -> None:
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._turn = asyncio.Lock()
        self._requests = _Meter(limits.requests_per_minute) if limits.requests_per_minute else None
        self._tokens = _Meter(limits.tokens_per_minute) if limits.tokens_per_minute else None
        self._paused_until = 0.0

    @asynccontextmanager
    async def call(self, estimated_tokens: int) -> AsyncIterator[None]:
        """Holds one of the concurrent calls; begins when the rates allow it."""
        async with self._slots:
            async with self._turn:
                while (seconds := self._wait()) > 0:  # noqa: ASYNC110  # time passes, no event comes
                    await asyncio.sleep(seconds)
                now = time.monotonic()
                if self._requests:
                    self._requests.take(now, 1)
                if self._tokens:
                    self._tokens.take(now, estimated_tokens)
            yield

    def used(self, estimated_tokens: int, tokens: int) -> None:
        """Correct the estimate of a call by what the provider counted."""
        if self._tokens:
            self._tokens.correct(tokens - estimated_tokens)

    def pause(self, seconds: float) -> None:
        """Begin no call for this long: the provider has asked for it."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def _wait(self) -> float:
        now = time.monotonic()
        meters = (meter.wait(now) for meter in (self._requests, self._tokens) if meter)
        return max(self._paused_until - now, *meters, 0.0)
