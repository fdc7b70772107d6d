"""Calls that are repeated while a server does not answer."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from memicos_dataset.remote.errors import UnavailableError

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 15.0

_T = TypeVar("_T")


def with_retries(call: Callable[[], _T], patience_seconds: float) -> _T:
    """The result of `call`, repeated for at most `patience_seconds` while it raises UnavailableError.

    The wait before a repetition is drawn from 0 to a limit that doubles each time ("full jitter", M. Brooker,
    "Exponential Backoff And Jitter", 2015), so that parallel calls do not all come back at once.

    Raises:
        UnavailableError: the server did not answer in that time.
    """
    end, limit = time.monotonic() + patience_seconds, FIRST_WAIT_SECONDS
    while True:
        try:
            return call()
        except UnavailableError as error:
            wait = random.uniform(0, limit)
            if time.monotonic() + wait > end:
                raise UnavailableError(
                    f"{error}. It was tried for {patience_seconds:g} s; the same command goes on where it was."
                ) from error
        time.sleep(wait)
        limit = min(2 * limit, LONGEST_WAIT_SECONDS)
