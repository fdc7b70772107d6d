"""Puts autointerp together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from memicos_autointerp import errors, security
from memicos_autointerp.explain import api as explain_api
from memicos_autointerp.explain.schemas import HealthResponse
from memicos_autointerp.provider import connections
from memicos_autointerp.settings import Settings, read

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": errors.ErrorBody, "description": "The request cannot be answered as it is"},
    401: {"model": errors.ErrorBody, "description": "Wrong or missing X-SECRET-KEY"},
    413: {"model": errors.ErrorBody, "description": "The body is too large"},
    422: {"model": errors.ErrorBody, "description": "A field is missing or out of range"},
    502: {"model": errors.ErrorBody, "description": "The language model's provider failed; `cause` says how"},
    503: {"model": errors.ErrorBody, "description": "There is no key to ask a provider with"},
}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with connections(app.state.settings) as http:
        app.state.http = http
        yield


def _operation_id(route: APIRoute) -> str:
    return route.name


async def health(request: Request) -> HealthResponse:
    settings: Settings = request.app.state.settings
    return HealthResponse(status="healthy", model=settings.model, has_key=settings.api_key is not None)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; `settings` are read from the environment where none are given."""
    app = FastAPI(
        title="memicos autointerp",
        version="0.1.0",
        summary="Explains features in words with a language model.",
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.state.settings = settings or read()
    app.add_middleware(security.Guard, settings=app.state.settings)
    errors.install(app)
    app.add_api_route("/health", health, tags=["health"], summary="Whether the server is up")
    app.include_router(explain_api.router, responses=ERRORS)
    return app
