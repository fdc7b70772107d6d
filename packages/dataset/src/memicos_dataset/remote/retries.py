"""Requests to remote file systems that fail for a moment are repeated, here and nowhere else.

The repetitions of fsspec's file systems are switched off (`file_systems.py`), and no call of `with_retries` is inside
another one, so that a request that fails is sent as often as one limit of time says, not as the product of several.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from memicos_dataset.remote.errors import UnavailableError, UnknownHostError, as_os_errors

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 15.0
READ_PATIENCE_SECONDS = 30.0
"""How long a request for a file or a listing is repeated, unless the folder says otherwise."""

_T = TypeVar("_T")


def with_retries(place: str, call: Callable[[], _T], patience_seconds: float) -> _T:
    """The result of `call`, a request for the URL `place`, repeated while its server does not answer.

    It is not repeated later than `patience_seconds` after its first failure. The wait before a repetition is drawn from
    0 to a limit that doubles each time ("full jitter", M. Brooker, "Exponential Backoff And Jitter", 2015), so that
    parallel calls do not all come back at once.

    Raises:
        UnavailableError: the server did not answer in that time; at once where its name has no address.
        AccessRefusedError: access is refused, or there are no credentials.
        OSError: any other error of the server, which is not repeated.
    """
    end, limit = None, FIRST_WAIT_SECONDS
    while True:
        try:
            with as_os_errors(place):
                return call()
        except UnknownHostError:
            raise
        except UnavailableError as error:
            # from the first failure on, so that a request that failed by its own long limit of time is repeated too
            end = end or time.monotonic() + patience_seconds
            wait = random.uniform(0, limit)
            if time.monotonic() + wait > end:
                raise UnavailableError(f"{error}. It was repeated for {patience_seconds:g} s.") from error
        time.sleep(wait)
        limit = min(2 * limit, LONGEST_WAIT_SECONDS)
