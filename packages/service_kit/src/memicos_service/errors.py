"""Errors that reach the client, and the handlers that turn every exception of a route into one.

A service raises `ServiceError` (or a subclass) and passes `install` a function that makes its response: JSON of its
own `ErrorBody`, or a page.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from memicos_service import validation
from memicos_service.disconnect import ClientDisconnected
from memicos_service.logs.request_log import CLIENT_CLOSED, request_id

LONG_WORD = re.compile(r"(?<!\S)\S{201,}+")
SHOWN_OF_WORD = 100
MAX_MESSAGE = 3000
"""Longest message of an error, in characters."""


def bounded(message: str) -> str:
    """The message with what a client sent, such as an id, in it, but not at any length.

    Words of more than 200 characters are cut, and the middle of a message that is longer than MAX_MESSAGE.
    """
    message = LONG_WORD.sub(lambda word: f"{word[0][:SHOWN_OF_WORD]}… ({len(word[0]):,} characters)", message)
    if len(message) > MAX_MESSAGE:
        half = MAX_MESSAGE // 2
        message = f"{message[:half]} … {message[-half + 3 :]}"
    return message


class ServiceError(Exception):
    """An error that is reported to the client as it is.

    Args:
        status: HTTP status.
        message: what is wrong, where, and what to do; it is bounded.
        cause: the same for programs; empty where a service has no such field.
        headers: headers of the response, such as Retry-After.
    """

    title: str | None = None
    """Heading of the error where it is shown as a page; None: the heading of the status."""

    def __init__(self, status: int, message: str, cause: str = "", headers: Mapping[str, str] | None = None) -> None:
        message = bounded(message)
        super().__init__(message)
        self.status = status
        self.message = message
        self.cause = cause
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class ErrorReport:
    """An error as it is reported to the client; `make_response` turns it into a response."""

    status: int
    message: str
    cause: str
    headers: dict[str, str] = field(default_factory=dict)
    title: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", bounded(self.message))


MakeResponse = Callable[[Request, ErrorReport], Response]
Describe = Callable[[Request, Sequence[Any]], str]


def unexpected_error_message() -> str:
    """The message for an internal error: it has only the request's id, under which the traceback is logged."""
    return f"Internal error. It has been logged as {request_id()}."


def not_found_message(path: str) -> str:
    return f"The path {path} does not exist."


def method_message(path: str, method: str) -> str:
    return f"{path} does not support the method {method}."


def _describe(_: Request, errors: Sequence[Any]) -> str:
    return validation.describe(errors)


def unreadable_body(cause: BaseException | None) -> str | None:
    """Why FastAPI could not read a body, where its own message does not."""
    if isinstance(cause, RecursionError):
        return "The body is nested too deeply."
    if isinstance(cause, UnicodeDecodeError):
        return f"The body is not UTF-8: byte 0x{cause.object[cause.start]:02x} at {cause.start}."
    return None


def validation_report(request: Request, error: RequestValidationError, describe: Describe) -> ErrorReport:
    """400 for a body that is not JSON or not Unicode, 422 for fields that are missing or wrong."""
    first = error.errors()[0]
    if first["type"] == "json_invalid" and first["loc"][0] == "body":
        reason = str(first.get("ctx", {}).get("error", "unreadable")).removesuffix(" at")
        message = f"The body is not valid JSON: {reason} at character {first['loc'][1]}."
        return ErrorReport(400, message, "invalid_request")
    status = 400 if any(problem["type"] == validation.SURROGATE for problem in error.errors()) else 422
    return ErrorReport(status, describe(request, error.errors()), "invalid_request")


def http_report(request: Request, error: HTTPException) -> ErrorReport:
    """The report of an error that FastAPI or Starlette raised by themselves."""
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return ErrorReport(404, not_found_message(request.url.path), "not_found", headers)
    if error.status_code == 405:
        return ErrorReport(405, method_message(request.url.path, request.method), "not_found", headers)
    cause = "too_large" if error.status_code == 413 else "invalid_request"
    message = unreadable_body(error.__cause__) or str(error.detail)
    return ErrorReport(error.status_code, message, cause, headers)


def install(app: FastAPI, make_response: MakeResponse, describe: Describe = _describe) -> None:
    """Make every exception of `app` a response by `make_response`.

    Args:
        app: the application.
        make_response: makes the response of one report.
        describe: turns pydantic's errors into a message.
    """

    async def service_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return make_response(request, ErrorReport(error.status, error.message, error.cause, error.headers, error.title))

    async def validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return make_response(request, validation_report(request, error, describe))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return make_response(request, http_report(request, error))

    async def client_disconnected(_request: Request, _error: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED)

    async def unexpected_error(request: Request, _: Exception) -> Response:
        # Starlette raises the error again after this response, and uvicorn logs its traceback. The response is sent
        # outside the middleware that adds the request's id, so it is added here. uvicorn then closes the connection,
        # which a client has to know before it sends its next request.
        headers = {"X-Request-ID": request_id(), "Connection": "close"}
        return make_response(request, ErrorReport(500, unexpected_error_message(), "internal", headers))

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(ClientDisconnected, client_disconnected)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unexpected_error)
