"""Who a call of inference is made for: visitors take turns there, though all their calls come from this server."""

import hashlib
import secrets
from contextvars import ContextVar

import httpx
from asgi_correlation_id import correlation_id

_SALT = secrets.token_bytes(16)
"""Inference can tell visitors apart, and not who they are."""
_visitor: ContextVar[str] = ContextVar("visitor", default="")


def visited_from(address: str) -> None:
    """What this task calls from now on it calls for a visitor at `address`."""
    _visitor.set(hashlib.sha256(_SALT + address.encode()).hexdigest()[:16])


def visitor() -> str:
    """Who this task is for, as inference knows them; empty where for nobody."""
    return _visitor.get()


async def name_visitor(request: httpx.Request) -> None:
    """And the request of theirs that the call belongs to."""
    if name := visitor():
        request.headers["X-Client-ID"] = name
    if request_id := correlation_id.get():
        request.headers["X-Request-ID"] = request_id
