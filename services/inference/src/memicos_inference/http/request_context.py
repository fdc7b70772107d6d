"""Facts about a request that are collected while it runs, for its log line and the metrics."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memicos_inference.http.errors import Cause


@dataclass
class RequestContext:
    """Facts about one request. The model's thread writes all but `cause`.

    Attributes:
        cause: kind of the error that the response reports.
        waited: seconds until the model's thread began the request's work.
        tokens_in: tokens of prompts that were run.
        tokens_out: generated tokens.
    """

    cause: Cause | None = None
    waited: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0


_context: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def begin() -> RequestContext:
    """Start the context of a new request in the current task."""
    context = RequestContext()
    _context.set(context)
    return context


def request_context() -> RequestContext:
    """The context of the current request; outside of a request a new context that is discarded."""
    return _context.get() or RequestContext()
