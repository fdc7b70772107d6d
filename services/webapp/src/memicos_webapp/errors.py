"""What can go wrong with a request, in words that reach the user: JSON for /api, a page elsewhere."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from memicos_webapp.request_log import request_id
from memicos_webapp.templating import render
from memicos_webapp.validation import FORM_NAMES, describe

log = logging.getLogger(__name__)


class ErrorBody(BaseModel):
    """Every error of the API. Both fields hold the same words; clients read one or the other."""

    error: str
    message: str


class Fault(Exception):
    """Something the user is told: `message` says what was wrong, where, and what to do."""

    status = 500

    def __init__(self, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers


class BadInput(Fault):
    status = 400


class Refused(Fault):
    status = 403


class NotFound(Fault):
    status = 404


class TooLarge(Fault):
    status = 413


class UpstreamFault(Fault):
    """Another service answered, but not usefully."""

    status = 502


class Unavailable(Fault):
    """Not now; `retry_after` seconds later perhaps."""

    status = 503

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message, {"Retry-After": str(retry_after)})


TITLES = {
    400: "Something in the request is not right",
    403: "Refused",
    404: "Not found",
    405: "Not possible here",
    413: "Too large",
    422: "Something in the request is not right",
    502: "Another service failed",
    503: "Not available right now",
}


def not_api(request: Request) -> None:
    """Dependency of pages, whose paths are mostly variables: no API path is one of theirs."""
    if is_api(request):
        raise HTTPException(405 if request.url.path in request.app.openapi()["paths"] else 404)


def is_api(request: Request) -> bool:
    return request.url.path == "/api" or request.url.path.startswith("/api/")


def error_response(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """`message` as JSON, as an htmx fragment or as a page, whichever the caller can show."""
    if is_api(request):
        return JSONResponse({"error": message, "message": message}, status, headers)
    fragment = request.headers.get("hx-request") == "true"
    template = "shared/error_fragment.html" if fragment else "shared/error.html"
    return render(
        request,
        template,
        status_code=status,
        headers=headers,
        status=status,
        title=TITLES.get(status, "Something went wrong"),
        message=message,
    )


async def _fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)
    return error_response(request, error.status, error.message, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid" and first["loc"][0] == "body":
        reason = str(first.get("ctx", {}).get("error", "unreadable")).removesuffix(" at")
        return error_response(request, 400, f"The body is not valid JSON: {reason} at character {first['loc'][1]}.")
    names = {} if is_api(request) else FORM_NAMES
    return error_response(request, 422, describe(error.errors(), names))


def _unparsed(cause: BaseException | None) -> str | None:
    """Why FastAPI could not read a body, where its own words do not say it."""
    if isinstance(cause, RecursionError):
        return "The body is nested too deeply."
    if isinstance(cause, UnicodeDecodeError):
        return f"The body is not UTF-8: byte 0x{cause.object[cause.start]:02x} at {cause.start}."
    return None


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = (
        {
            404: f"There is nothing at {request.url.path}.",
            405: f"{request.url.path} does not take {request.method}.",
        }.get(error.status_code)
        or _unparsed(error.__cause__)
        or str(error.detail)
    )
    return error_response(request, error.status_code, message, dict(error.headers or {}))


async def _busy(request: Request, error: Exception) -> Response:
    log.warning("no database connection became free: %s", error)
    message = "The database is busy; try again in a few seconds."
    return error_response(request, 503, message, {"Retry-After": "2"})


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    state = getattr(error.orig, "sqlstate", None) or ""
    # class 22: a value that its column cannot hold, such as a NUL in a text
    if state.startswith("22"):
        log.warning("a request had a value that the database does not take: %s", error.orig)
        return error_response(request, 400, "The request has a value that no text or number here can have.")
    if state == "57014":
        return error_response(request, 503, "The database took too long; narrow the request and try again.")
    if error.connection_invalidated or isinstance(error.orig, OSError):
        log.error("database unreachable: %s", error)
        return error_response(request, 503, "The database does not answer; try again.", {"Retry-After": "5"})
    raise error


async def _unforeseen(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback: it raises the error again after this answer
    # this answer is given outside of what sends the id with others
    return error_response(request, 500, failure(), {"X-Request-ID": request_id()})


def failure() -> str:
    """What a visitor is told of a fault of ours."""
    return f"Something failed on our side. It has been logged as {request_id()}."


def install(app: FastAPI) -> None:
    app.add_exception_handler(Fault, _fault)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(Exception, _unforeseen)
