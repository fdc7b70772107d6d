"""What is found out of a request on its way, for its line in the log; and its id."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asgi_correlation_id import correlation_id

if TYPE_CHECKING:
    from memicos_inference.http.errors import Cause

SANE_ID = re.compile(r"[!-~]{1,128}")


@dataclass
class RequestContext:
    """`waited` in seconds until the model took it; the model's thread writes the last three."""

    cause: Cause | None = None
    waited: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0


_asked: ContextVar[RequestContext | None] = ContextVar("asked", default=None)


def begin() -> RequestContext:
    """A new request is what this task is about from now on."""
    asked = RequestContext()
    _asked.set(asked)
    return asked


def request_context() -> RequestContext:
    """Of the request that this is about; outside of one something that nobody reads."""
    return _asked.get() or RequestContext()


def request_id() -> str:
    return correlation_id.get() or "-"


def is_valid_id(given: str) -> bool:
    """Whether a caller's X-Request-ID is taken: visible ASCII, at most 128 characters."""
    return SANE_ID.fullmatch(given) is not None
