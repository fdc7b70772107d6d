"""Errors of this server: `{"error": …, "cause": …}`."""

from typing import Literal, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from memicos_service import errors
from memicos_service.errors import ErrorReport, ServiceError
from pydantic import BaseModel, Field

from memicos_inference.http.request_context import request_context

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
    """Body of every error of this server."""

    error: str = Field(description="What was wrong, and what to do about it.")
    cause: Cause = Field(description="Kind of error, for programs.")


class Fault(ServiceError):
    """An error that is sent to the client; `retry_after`, in seconds, becomes the header Retry-After."""

    cause: Cause

    def __init__(self, status: int, cause: Cause, message: str, retry_after: int | None = None) -> None:
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
        super().__init__(status, message, cause, headers)


class BadInput(Fault):
    """The request is invalid: 400."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "invalid_request", message)


class Forbidden(Fault):
    """The settings do not allow the request: 403."""

    def __init__(self, message: str) -> None:
        super().__init__(403, "forbidden", message)


class Unavailable(Fault):
    """The request may succeed later: 503 with Retry-After."""

    def __init__(self, cause: Cause, message: str, retry_after: int) -> None:
        super().__init__(503, cause, message, retry_after)


def make_response(report: ErrorReport) -> JSONResponse:
    """The JSON of an error; its cause is also noted for the request log and the metrics."""
    cause = cast(Cause, report.cause)
    request_context().cause = cause
    body = ErrorBody(error=report.message, cause=cause)
    return JSONResponse(body.model_dump(), report.status, report.headers)


def _respond(_: Request, report: ErrorReport) -> JSONResponse:
    return make_response(report)


def install(app: FastAPI) -> None:
    errors.install(app, _respond)
