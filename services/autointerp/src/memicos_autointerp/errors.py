"""What can go wrong with a request, in words that reach the caller: `{"error": …, "cause": …}`."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

Cause = Literal[
    "invalid_request",
    "wrong_secret",
    "not_found",
    "too_large",
    "no_key",
    "internal",
    "unreachable",
    "timeout",
    "unauthorized",
    "payment_required",
    "unknown_model",
    "rate_limited",
    "rejected",
    "provider_failed",
    "malformed",
    "filtered",
    "truncated",
    "empty",
    "unreadable",
]
"""Why there is no answer; from `unreachable` on it is the language model's provider (status 502)."""


class ErrorBody(BaseModel):
    """Every error of this server."""

    error: str = Field(description="what was wrong, and what to do")
    cause: Cause = Field(description="the same for programs")


class Fault(Exception):
    """Something the caller is told."""

    def __init__(self, status: int, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.cause: Cause = cause
        self.message = message


class BadInput(Fault):
    def __init__(self, message: str) -> None:
        super().__init__(400, "invalid_request", message)


class NoKey(Fault):
    """Neither the request nor the server has a key."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "no_key",
            "No key for a language model: set AUTOINTERP_API_KEY (and AUTOINTERP_BASE_URL) of the "
            "autointerp server, or send api_key or openrouter_key with the request.",
        )


class ProviderFault(Fault):
    """The language model gave no explanation; the message never holds a key."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(502, cause, message)


def error_response(status: int, cause: Cause, message: str) -> JSONResponse:
    return JSONResponse(ErrorBody(error=message, cause=cause).model_dump(), status)


def describe(errors: Sequence[Any]) -> str:
    """The first few of pydantic's errors in one line, without the values that were sent."""
    lines = []
    for error in errors[:3]:
        where = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))
        words = error["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {words}" if where else words)
    return "; ".join(lines)


async def _fault(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Fault)
    return error_response(error.status, error.cause, error.message)


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
    return error_response(500, "internal", "Something failed on our side. It has been logged.")


def install(app: FastAPI) -> None:
    app.add_exception_handler(Fault, _fault)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)
