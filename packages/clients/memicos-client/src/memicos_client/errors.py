"""Errors that calls raise. Catch `ApiError` for every error response, or a subclass for one kind.

Subclasses follow the HTTP status; a status without a class of its own is an `ApiError`.
"""

import json
from typing import Any

import httpx


class UnexpectedStatus(Exception):
    """A response whose status the caller cannot use: an error, or a success that the API does not document.

    `content` is the body as bytes.
    """

    def __init__(self, status_code: int, content: bytes, message: str | None = None) -> None:
        super().__init__(message or f"Unexpected status {status_code}: {content.decode(errors='ignore')}")
        self.status_code = status_code
        self.content = content


class ApiError(UnexpectedStatus):
    """An error response.

    `message` is the server's `error` text, or the start of the body where it is not the API's error format; `cause` is
    the server's code for programs, if it gives one; `retry_after` is the number of seconds to wait before the next try,
    if the server gives it.
    """

    def __init__(
        self, status_code: int, content: bytes, message: str, cause: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(status_code, content, f"{status_code}: {message}")
        self.message = message
        self.cause = cause
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400, 413 or 422: the request does not fit the API or a limit."""


class Unauthorized(ApiError):
    """401: the secret or token is missing or wrong."""


class Forbidden(ApiError):
    """403: the request is not allowed."""


class NotFound(ApiError):
    """404: the model, source, feature or other resource does not exist."""


class TooManyRequests(ApiError):
    """429: a rate or queue limit is reached; `retry_after` says when to try again."""


class Unavailable(ApiError):
    """502, 503 or 504: the server or one behind it is down, loading or too slow; `retry_after` may say when to retry."""


_CLASSES: dict[int, type[ApiError]] = {
    400: BadRequest,
    413: BadRequest,
    422: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}

_MESSAGE_CHARACTERS = 500
"""Most characters of a body that is not the API's error format, such as a proxy's page, in a message."""


def raise_for_error(response: httpx.Response) -> None:
    """Raises the `ApiError` of a response outside 200 to 299. The body must have been read."""
    if response.is_success:
        return
    status, body = response.status_code, _json_object(response.content)
    message, cause = body.get("error"), body.get("cause")
    if not isinstance(message, str):
        message = response.text[:_MESSAGE_CHARACTERS] or response.reason_phrase
    raise _CLASSES.get(status, ApiError)(
        status, response.content, message, cause if isinstance(cause, str) else None, _retry_after(response)
    )


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _retry_after(response: httpx.Response) -> float | None:
    # the header may also hold a date, which the services do not send
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


__all__ = [
    "ApiError",
    "BadRequest",
    "Forbidden",
    "NotFound",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedStatus",
    "raise_for_error",
]
