"""A log filter: a fault that occurs again and again is one line a minute, so that it cannot fill the disk."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from asgi_correlation_id import correlation_id

EVERY_SECONDS = 60.0
"""Shortest time between two lines of the same fault."""
MAX_FAULTS = 1000
"""Number of different faults that are remembered."""


@dataclass
class _Fault:
    logged_at: float
    repeats: int = 0


class RepeatedFaults(logging.Filter):
    """Drops warnings and errors that were logged in the minute before; the next such line has their number.

    The number is the field `repeats`. Lines of a request are kept: its response may name the id that they have. Two
    lines are the same fault if they have the same logger, the same first line and the same type of exception.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._faults: OrderedDict[tuple[str, str, type[BaseException] | None], _Fault] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or correlation_id.get():
            return True
        exception = record.exc_info[0] if record.exc_info else None
        key = (record.name, record.getMessage().partition("\n")[0], exception)
        now = self._clock()
        with self._lock:
            fault = self._faults.get(key)
            if fault is not None and now - fault.logged_at < EVERY_SECONDS:
                fault.repeats += 1
                return False
            if fault is not None and fault.repeats:
                record.repeats = fault.repeats
            self._faults[key] = _Fault(now)
            self._faults.move_to_end(key)
            if len(self._faults) > MAX_FAULTS:
                self._faults.popitem(last=False)
        return True
