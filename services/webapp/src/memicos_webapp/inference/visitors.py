"""Pseudonymous visitor ids for inference: its queue takes turns between visitors, though the webapp sends all calls."""

import hashlib
import secrets
from contextvars import ContextVar

import httpx
from asgi_correlation_id import correlation_id

_SALT = secrets.token_bytes(16)
"""Changes at every start: inference can tell visitors apart, but cannot find out an address."""
_visitor: ContextVar[str] = ContextVar("visitor", default="")


def set_visitor(address: str) -> None:
    """Name the visitor at `address` in the calls of inference that the current task makes from now on."""
    _visitor.set(hashlib.sha256(_SALT + address.encode()).hexdigest()[:16])


def visitor() -> str:
    """The id of the current task's visitor; empty where the task serves none."""
    return _visitor.get()


async def add_headers(request: httpx.Request) -> None:
    """Add the visitor's id and the id of the webapp's request to a call of inference."""
    if name := visitor():
        request.headers["X-Client-ID"] = name
    if request_id := correlation_id.get():
        request.headers["X-Request-ID"] = request_id
