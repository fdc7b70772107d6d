"""Errors that reach the user: JSON for /api, a page or an htmx fragment elsewhere."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from memicos_service import errors as service_errors
from memicos_service.errors import (
    ErrorReport,
    ServiceError,
    unreadable_body,
)
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from memicos_webapp.database.errors import DatabaseUnreachableError, StatementError
from memicos_webapp.templating import render
from memicos_webapp.validation import FORM_CHOICES, FORM_NAMES, describe

log = logging.getLogger(__name__)


class ErrorBody(BaseModel):
    """Body of every error of the API. Both fields hold the same text; some clients read `error`, others `message`."""

    error: str = Field(description="what was wrong, where, and what to do")
    message: str = Field(description="the same as error")


class Fault(ServiceError):
    """An error shown to the user: `message` has the problem, its place and what to do."""

    status = 500

    def __init__(self, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(self.status, message, headers=headers)


class BadInput(Fault):
    status = 400


class Unauthenticated(Fault):
    """The credentials of a request are not valid."""

    status = 401


class Refused(Fault):
    status = 403


class NotFound(Fault):
    status = 404


class Conflict(Fault):
    """The entry to be created exists already."""

    status = 409


class TooLarge(Fault):
    """More files or bytes than a limit allows."""

    status = 413


class InsufficientStorage(Fault):
    """The server's disk has not enough space."""

    status = 507


class TooManyRequests(Fault):
    """A limit per visitor or in all is reached; `retry_after` seconds later the request may be repeated."""

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, {"Retry-After": str(retry_after)})


class UpstreamFault(Fault):
    """Another service responded with an error, or with a response that cannot be used."""

    status = 502


class Unavailable(Fault):
    """The request may succeed `retry_after` seconds later."""

    status = 503

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message, {"Retry-After": str(retry_after)})


class NotConfigured(Fault):
    """The operator has to set something before this works."""

    status = 503
    title = "Not configured"


TITLES = {
    400: "Invalid request",
    401: "Not signed in",
    403: "Refused",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    422: "Invalid request",
    429: "Too many requests",
    502: "Another service failed",
    503: "Service unavailable",
    507: "Disk full",
}


async def not_api(request: Request) -> None:
    """Dependency of page routes: their paths are mostly variables, and would match paths of the API.

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
    """`message` as JSON, as an htmx fragment or as a page, depending on the request.

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
        title=title or TITLES.get(status, "Internal error"),
        message=message,
        of_data=request.url.path.startswith("/account/data/") and status not in (401, 403),
    )


def _respond(request: Request, report: ErrorReport) -> Response:
    return error_response(request, report.status, report.message, report.headers, report.title)


def _describe(request: Request, errors: Sequence[Any]) -> str:
    return describe(errors) if is_api(request) else describe(errors, FORM_NAMES, FORM_CHOICES)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, dict(error.headers or {})
    # the router gives 405 to other methods of a page's path, and `/{model}/{source}/{index}` matches many API paths
    if status == 405 and is_api(request) and not _api_methods(request):
        status, headers = 404, {}
    if status == 404:
        message = f"The path {request.url.path} does not exist. {_existing(request)}"
    elif status == 405:
        allowed = headers.get("Allow") or headers.get("allow")
        message = f"{request.url.path} does not support the method {request.method}"
        message += f"; it supports {allowed}." if allowed else "."
    else:
        message = unreadable_body(error.__cause__) or str(error.detail)
    return error_response(request, status, message, headers)


def _existing(request: Request) -> str:
    """The addresses that exist, or where they are listed."""
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
    """Errors of statements: SQLAlchemy's, and those of asyncpg's own connections."""
    assert isinstance(error, DBAPIError | StatementError)
    reason = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(reason, "sqlstate", None) or ""
    # class 22: a value that its column cannot hold, such as a NUL in a text
    if state.startswith("22"):
        log.warning("a request had a value that the database does not take: %s", reason)
        return error_response(
            request,
            400,
            "A text or number in the request is invalid: NUL characters and numbers out of range are refused.",
        )
    # insufficient_privilege, read_only_sql_transaction
    if state in ("42501", "25006"):
        log.warning("the database refused a write: %s", reason)
        return error_response(request, 403, "The database refuses writes from this server: its role is read-only.")
    if state == "57014":
        message = "The database took too long; narrow the request and try again."
        return error_response(request, 503, message, {"Retry-After": "5"})
    ended = isinstance(error, DBAPIError) and error.connection_invalidated
    # connection exceptions, insufficient resources, operator intervention
    if ended or state.startswith(("08", "53", "57P")):
        return await _unreachable(request, error)
    raise error


async def _unreachable(request: Request, error: Exception) -> Response:
    log.error("the database does not answer: %s", str(error).partition("\n")[0])
    return error_response(request, 503, "The database does not answer; try again.", {"Retry-After": "5"})


def install(app: FastAPI) -> None:
    service_errors.install(app, _respond, _describe)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(StatementError, _database)
    app.add_exception_handler(DatabaseUnreachableError, _unreachable)
