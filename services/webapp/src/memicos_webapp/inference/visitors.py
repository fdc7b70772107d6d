"""Pseudonymous visitor ids for inference, whose queue serves the visitors of the webapp in turn."""

import hashlib
import secrets
from contextvars import ContextVar

import httpx
from asgi_correlation_id import correlation_id

_SALT = secrets.token_bytes(16)
"""Changes at every start: inference can distinguish visitors, but not recover an address."""
_visitor: ContextVar[str] = ContextVar("visitor", default="")


def set_visitor(address: str) -> None:
    """Send the id of the visitor at `address` with the calls of inference of the current task from now on."""
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
