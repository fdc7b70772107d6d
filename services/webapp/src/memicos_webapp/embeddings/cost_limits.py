"""Limits on query embeddings that cost money, per visitor and in all, counted in memory.

Search while typing embeds a query every few key presses. Where the embedder is a paid API and the server can be reached
from other machines, visitors could use up the owner's credit. The owner, on this machine, is not limited.
"""

import ipaddress
import math
import time

from limits import RateLimitItemPerDay, RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from memicos_service.server import is_loopback

from memicos_webapp.errors import TooManyRequests
from memicos_webapp.settings import Settings

IPV6_PREFIX = 64
"""Bits of an IPv6 address that identify a visitor: a provider gives each customer all addresses below them."""


class QueryCostLimiter:
    """Counts of the last hour per visitor, and of the last 24 hours of all visitors together."""

    def __init__(self, settings: Settings) -> None:
        self._loopback = settings.loopback
        self._per_visitor = RateLimitItemPerHour(settings.paid_queries_per_visitor_hour)
        self._total = RateLimitItemPerDay(settings.paid_queries_per_day)
        self._counts = MovingWindowRateLimiter(MemoryStorage())

    def charge(self, address: str) -> None:
        """Count one paid query embedding for the visitor at `address`.

        Raises:
            TooManyRequests: a limit is reached; nothing is counted.
        """
        if self._loopback and is_loopback(address):
            return
        visitor = _visitor_network(address)
        if not self._counts.test(self._per_visitor, visitor):
            raise self._refusal(
                f"You have reached the limit of {self._per_visitor.amount} searches by meaning per visitor and "
                "hour (setting MEMICOS_PAID_QUERIES_PER_VISITOR_HOUR).",
                self._per_visitor,
                visitor,
            )
        if not self._counts.test(self._total):
            raise self._refusal(
                f"This server has reached its limit of {self._total.amount} paid searches by meaning per day "
                "(setting MEMICOS_PAID_QUERIES_PER_DAY).",
                self._total,
            )
        self._counts.hit(self._per_visitor, visitor)
        self._counts.hit(self._total)

    def _refusal(
        self, reason: str, limit: RateLimitItemPerHour | RateLimitItemPerDay, *identifiers: str
    ) -> TooManyRequests:
        free_at = self._counts.get_window_stats(limit, *identifiers).reset_time
        seconds = max(1, math.ceil(free_at - time.time()))
        return TooManyRequests(f"{reason} Try again in {_duration(seconds)}.", retry_after=seconds)


def _visitor_network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{math.ceil(minutes / 60)} hours"
