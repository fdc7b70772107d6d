"""Builds the application: middleware, error handlers, routes."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from memicos_autointerp_core.explainers.registry import EXPLAINERS
from memicos_autointerp_core.providers.client import open_http
from memicos_embeddings.registry import open_registry
from memicos_service.application import ServiceApp
from memicos_service.logs import request_log
from memicos_service.logs.request_log import FinishedRequest, RequestObserver
from memicos_service.openapi import docs_page
from memicos_service.security.guards import ServiceGuard, knows_secret
from memicos_service.security.host_names import allowed_names
from pydantic.json_schema import models_json_schema

from memicos_autointerp import errors
from memicos_autointerp.explain import api as explain_api
from memicos_autointerp.explain.schemas import HealthResponse, ProfileState
from memicos_autointerp.providers.service import Providers
from memicos_autointerp.score import api as score_api
from memicos_autointerp.score.schemas import ScoreProgress
from memicos_autointerp.settings import Settings, read

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {
        "model": errors.ErrorBody,
        "description": "The body is not JSON or not Unicode, the request exceeds a limit, or its keys, base_url and "
        "model contradict one another",
    },
    401: {"model": errors.ErrorBody, "description": "Wrong or missing X-SECRET-KEY"},
    403: {"model": errors.ErrorBody, "description": "The request's Host is not allowed (AUTOINTERP_ALLOWED_HOSTS)"},
    413: {"model": errors.ErrorBody, "description": "The body is too large"},
    422: {"model": errors.ErrorBody, "description": "A field is missing or out of range"},
    502: {
        "model": errors.ErrorBody,
        "description": "The language model's provider or the embedder failed; `cause` has the kind of failure",
    },
    503: {"model": errors.ErrorBody, "description": "Neither the request nor the server has a key for a provider"},
}


class _App(ServiceApp):
    def openapi(self) -> dict[str, Any]:
        """FastAPI's document, and the models that only events contain."""
        document = super().openapi()
        _, definitions = models_json_schema(
            [(ScoreProgress, "serialization")], ref_template="#/components/schemas/{model}"
        )
        schemas = document["components"]["schemas"]
        document["components"]["schemas"] = dict(sorted((definitions["$defs"] | schemas).items()))
        return document


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_http(app.state.settings.provider_options) as http:
        providers = app.state.providers = Providers(app.state.settings, http)
        embedders = app.state.embedders = open_registry(app.state.settings.embedder_config)
        yield
        await embedders.close()
        providers.close()


class _Observer(RequestObserver):
    def level(self, request: FinishedRequest) -> int:
        # called every few seconds
        return logging.DEBUG if request.route == "/health" else super().level(request)


def _operation_id(route: APIRoute) -> str:
    return route.name


async def health(request: Request) -> HealthResponse:
    """Needs no secret and calls no provider: it tells that the server runs, not that its key is accepted."""
    settings: Settings = request.app.state.settings
    providers: Providers = request.app.state.providers
    return HealthResponse(
        status="healthy",
        model=settings.model,
        models=settings.allowed_models,
        has_key=settings.api_key is not None,
        explainers=list(EXPLAINERS),
        profiles=[
            ProfileState(
                name=name,
                models=list(profile.models),
                has_key=providers.has_key(name),
                base_url=profile.base_url if knows_secret(request.headers, settings.secret) else None,
            )
            for name, profile in providers.profiles.items()
        ],
    )


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; `settings` are read from the environment where none are given."""
    app = _App(
        title="memicos autointerp",
        version="0.1.0",
        summary="Explains features with a language model, and scores explanations.",
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    settings = app.state.settings = settings or read()
    app.add_middleware(
        ServiceGuard,
        hosts=allowed_names(settings.allowed_hosts, settings.host),
        hosts_setting="AUTOINTERP_ALLOWED_HOSTS",
        secret=settings.secret,
        open_paths={"/health"},
        body_bytes=settings.body_bytes,
        body_setting="AUTOINTERP_BODY_BYTES",
        make_response=errors.make_response,
    )
    request_log.install(app, logging.getLogger("memicos_autointerp.requests"), _Observer(settings.log_requests))
    errors.install(app)
    docs_page.install(app)
    app.add_api_route("/health", health, tags=["health"], summary="State of the server")
    app.include_router(explain_api.router, responses=ERRORS)
    app.include_router(score_api.router, responses=ERRORS)
    return app
