"""When a provider takes requests again, by its response headers."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LIMITS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
)
"""Headers of OpenAI (and of servers that follow it), and of Anthropic: what is left, and when it is refilled."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After` (seconds, or a date); None where there is none."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def exhausted_for(headers: Mapping[str, str]) -> float:
    """Seconds until the provider takes the next request, by its headers of what is left of its limits; 0: at once."""
    waits = [_seconds(headers.get(reset)) for remaining, reset in _LIMITS if _number(headers.get(remaining)) == 0]
    return max((wait for wait in waits if wait is not None), default=0.0)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None


def _seconds(value: str | None) -> float | None:
    """A duration such as `6m0s` or `20ms`, a number of seconds, or an ISO date and time."""
    if value is None:
        return None
    number = _number(value)
    if number is not None:
        return number
    parts = _DURATION.findall(value)
    if parts and "".join(count + unit for count, unit in parts) == value.strip():
        return sum(float(count) * _UNITS[unit] for count, unit in parts)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())
