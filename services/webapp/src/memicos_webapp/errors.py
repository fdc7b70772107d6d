"""What can go wrong with a request, in words that reach the user: JSON for /api, a page elsewhere."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

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
    title: str | None = None
    """Heading of the error on pages; None: that of the status."""

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


class TooManyRequests(Fault):
    """A limit per visitor or in all is reached; `retry_after` seconds later the request may be repeated."""

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, {"Retry-After": str(retry_after)})


class UpstreamFault(Fault):
    """Another service answered, but not usefully."""

    status = 502


class Unavailable(Fault):
    """Not now; `retry_after` seconds later perhaps."""

    status = 503

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message, {"Retry-After": str(retry_after)})


class NotConfigured(Fault):
    """The operator has to set something before this works."""

    status = 503
    title = "Not configured"


TITLES = {
    400: "Invalid request",
    403: "Refused",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    422: "Invalid request",
    429: "Too many requests",
    502: "Another service failed",
    503: "Service unavailable",
}


async def not_api(request: Request) -> None:
    """Dependency of pages, whose paths are mostly variables: no API path is one of theirs.

    Raises:
        HTTPException: 405 where the API has the path with other methods, else 404.
    """
    if is_api(request):
        methods = _api_methods(request)
        raise HTTPException(405, headers={"Allow": ", ".join(methods)}) if methods else HTTPException(404)


def _api_methods(request: Request) -> list[str]:
    """Methods that the API takes at the request's path; empty where it has no such path."""
    paths = request.app.openapi()["paths"]
    matching = [item for path, item in paths.items() if compile_path(path)[0].match(request.url.path.rstrip("/"))]
    return sorted({method.upper() for item in matching for method in item})


def is_api_path(path: str) -> bool:
    return path in ("/api", "/health") or path.startswith("/api/")


def is_api(request: Request) -> bool:
    return is_api_path(request.url.path)


def error_response(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None, title: str | None = None
) -> Response:
    """`message` as JSON, as an htmx fragment or as a page, whichever the caller can show.

    `title` is the heading on pages; None: that of the status.
    """
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
        title=title or TITLES.get(status, "Something went wrong"),
        message=message,
    )


async def _fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)
    return error_response(request, error.status, error.message, error.headers, error.title)


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
    status, headers = error.status_code, dict(error.headers or {})
    # the router gives 405 to other methods of a page's path, and `/{model}/{source}/{index}` fits many an API path
    if status == 405 and is_api(request) and not _api_methods(request):
        status, headers = 404, {}
    if status == 404:
        message = f"There is nothing at {request.url.path}. {_existing(request)}"
    elif status == 405:
        allowed = headers.get("Allow") or headers.get("allow")
        message = f"{request.url.path} does not take {request.method}"
        message += f"; it takes {allowed}." if allowed else "."
    else:
        message = _unparsed(error.__cause__) or str(error.detail)
    return error_response(request, status, message, headers)


def _existing(request: Request) -> str:
    """Where to find the addresses that exist."""
    if is_api(request):
        return "The API's routes are listed at /api-doc and in /api/openapi.json."
    return (
        "Pages are /{model}, /{model}/{source set}, /{model}/{source}, /{model}/{source}/{index}, /{model}/steer, "
        "/search-explanations, /search, /search-topk-by-token and /api-doc; models and releases are listed at /."
    )


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
