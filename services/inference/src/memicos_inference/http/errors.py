"""What can go wrong with a request, in words that reach the caller: `{"error": …, "cause": …}`."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from memicos_inference.http.request_context import request_context, request_id

Cause = Literal[
    "invalid_request",
    "wrong_secret",
    "forbidden",
    "not_found",
    "too_large",
    "loading",
    "load_failed",
    "busy",
    "stopping",
    "out_of_memory",
    "unverified",
    "internal",
]


class ErrorBody(BaseModel):
    """Every error of this server."""

    error: str = Field(description="what was wrong, and what to do")
    cause: Cause = Field(description="the same for programs")


class Fault(Exception):
    """Something the caller is told; `retry_after` in seconds becomes the header of that name."""

    def __init__(self, status: int, cause: Cause, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.cause: Cause = cause
        self.message = message
        self.retry_after = retry_after


class BadInput(Fault):
    def __init__(self, message: str) -> None:
        super().__init__(400, "invalid_request", message)


class Forbidden(Fault):
    def __init__(self, message: str) -> None:
        super().__init__(403, "forbidden", message)


class Unavailable(Fault):
    """Not now: 503 with Retry-After."""

    def __init__(self, cause: Cause, message: str, retry_after: int) -> None:
        super().__init__(503, cause, message, retry_after)


def error_response(status: int, cause: Cause, message: str, retry_after: int | None = None) -> JSONResponse:
    request_context().cause = cause
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    return JSONResponse(ErrorBody(error=message, cause=cause).model_dump(), status, headers)


def describe(errors: Sequence[Any]) -> str:
    """The first few of pydantic's errors in one line, without the values that were sent."""
    lines = []
    for error in errors[:3]:
        where = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))
        lines.append(f"{where}: {error['msg']}" if where else str(error["msg"]))
    return "; ".join(lines)


async def _fault(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Fault)
    return error_response(error.status, error.cause, error.message, error.retry_after)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "unreadable")
        return error_response(400, "invalid_request", f"The body is not valid JSON: {reason}.")
    return error_response(422, "invalid_request", describe(error.errors()))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return error_response(404, "not_found", f"There is nothing at {request.url.path}.")
    if error.status_code == 405:
        return error_response(405, "not_found", f"{request.url.path} does not take {request.method}.")
    cause: Cause = "too_large" if error.status_code == 413 else "invalid_request"
    return error_response(error.status_code, cause, str(error.detail))


async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    # Starlette logs the traceback: it raises the error again after this answer
    answer = error_response(500, "internal", failure())
    # this answer is given outside of what sends the id with others
    answer.headers["X-Request-ID"] = request_id()
    return answer


def failure() -> str:
    """What the caller is told of a fault of ours."""
    return f"Something failed on our side. It has been logged as {request_id()}."


def install(app: FastAPI) -> None:
    app.add_exception_handler(Fault, _fault)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)
