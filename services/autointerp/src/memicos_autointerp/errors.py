"""Errors of this server: `{"error": …, "cause": …}`."""

from typing import Literal, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from memicos_autointerp_core.errors import ProviderCause, ProviderError
from memicos_service import errors
from memicos_service.errors import ErrorReport, ServiceError
from memicos_service.settings import variable
from pydantic import BaseModel, Field

from memicos_autointerp.settings import Settings

Cause = Literal[
    "invalid_request",
    "wrong_secret",
    "forbidden",
    "not_found",
    "too_large",
    "no_key",
    "internal",
    "embedder_failed",
    ProviderCause,
]
"""Kind of failure; `unreachable` and the following are failures of the language model's provider (status 502)."""


class ErrorBody(BaseModel):
    """Body of every error of this server."""

    error: str = Field(description="what was wrong, and what to do")
    cause: Cause = Field(description="error code, for programs")


class BadInput(ServiceError):
    def __init__(self, message: str) -> None:
        super().__init__(400, message, "invalid_request")


class NoKey(ServiceError):
    """Neither the request nor the server has a key for the endpoint."""

    def __init__(self, profile: str | None = None) -> None:
        message = (
            f"No key for the profile {profile}: set its key_variable or key_file on the autointerp server, or send "
            "api_key with the request."
            if profile
            else "No key for a language model: set AUTOINTERP_API_KEY (and AUTOINTERP_BASE_URL) of the "
            "autointerp server, or send api_key or openrouter_key with the request."
        )
        super().__init__(503, message, "no_key")


class ExplanationFailed(ServiceError):
    """The language model gave no explanation: 502. The message never holds a key."""

    def __init__(self, error: ProviderError) -> None:
        hint = f" (setting {variable(Settings, error.option)})" if error.option else ""
        super().__init__(502, f"{error.message}{hint}", error.cause)


class ScoreFailed(ServiceError):
    """The language model answered too few texts for a score: 502. `cause`: what most of the others failed with."""

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(502, message, cause)


class EmbeddingFailed(ServiceError):
    """The embedder gave no vectors: 502."""

    def __init__(self, message: str) -> None:
        super().__init__(502, message, "embedder_failed")


def make_response(report: ErrorReport) -> JSONResponse:
    body = ErrorBody(error=report.message, cause=cast(Cause, report.cause))
    return JSONResponse(body.model_dump(), report.status, report.headers)


def _respond(_: Request, report: ErrorReport) -> JSONResponse:
    return make_response(report)


def install(app: FastAPI) -> None:
    errors.install(app, _respond)
