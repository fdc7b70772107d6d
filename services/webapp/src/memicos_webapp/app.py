"""Builds the application: middleware, error handlers, routes, and the resources opened at start-up."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from memicos_service.application import ServiceApp
from pydantic.json_schema import models_json_schema
from starlette.staticfiles import StaticFiles

from memicos_webapp import errors, request_log
from memicos_webapp.accounts import first_start, key_hashes
from memicos_webapp.accounts import pages as account_pages
from memicos_webapp.accounts.viewer import current_identity
from memicos_webapp.activation_search import api as text_search_api
from memicos_webapp.activation_search import pages as text_search_pages
from memicos_webapp.admin import api as admin_api
from memicos_webapp.admin import bulk_pages as admin_bulk_pages
from memicos_webapp.admin import pages as admin_pages
from memicos_webapp.admin.job_watch import JobWatch
from memicos_webapp.api_doc import pages as api_doc_pages
from memicos_webapp.catalog import pages as catalog_pages
from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.engine import Database
from memicos_webapp.database.migrate import prepare
from memicos_webapp.dataset_uploads import api as dataset_uploads_api
from memicos_webapp.dataset_uploads import background as background_uploads
from memicos_webapp.datasets import background as background_cleanup
from memicos_webapp.embeddings import background as background_embedder
from memicos_webapp.explanation_search import api as search_api
from memicos_webapp.explanation_search import pages as search_pages
from memicos_webapp.explanations import api as explanations_api
from memicos_webapp.explanations import autointerp_client
from memicos_webapp.explanations import pages as explanations_pages
from memicos_webapp.feature_test import api as activations_api
from memicos_webapp.feature_test import pages as activations_pages
from memicos_webapp.features import api as features_api
from memicos_webapp.features import pages as features_pages
from memicos_webapp.health import api as health_api
from memicos_webapp.inference import pages as inference_pages
from memicos_webapp.inference_hosts import api as inference_hosts_api
from memicos_webapp.inference_hosts import background as background_inference
from memicos_webapp.inference_hosts import pages as inference_hosts_pages
from memicos_webapp.provider_keys import pages as provider_keys_pages
from memicos_webapp.scores import api as scores_api
from memicos_webapp.scores import pages as scores_pages
from memicos_webapp.scores.schemas import ScoreStep
from memicos_webapp.security import middleware
from memicos_webapp.security.body_checks import check_body_text
from memicos_webapp.security.proxy_headers import ProxyHeaders, parse_networks
from memicos_webapp.security.stream_slots import Limit, StreamSlots
from memicos_webapp.security.sub_path import SubPath
from memicos_webapp.settings import Settings, variable
from memicos_webapp.steering import api as steering_api
from memicos_webapp.steering import pages as steering_pages
from memicos_webapp.steering.schemas import SteerDelta
from memicos_webapp.templating import STATIC
from memicos_webapp.vectors import api as vectors_api
from memicos_webapp.vectors import pages as vectors_pages

API: tuple[APIRouter, ...] = (
    features_api.router,
    activations_api.router,
    text_search_api.router,
    search_api.router,
    explanations_api.router,
    scores_api.router,
    steering_api.router,
    vectors_api.router,
    dataset_uploads_api.router,
    inference_hosts_api.router,
    admin_api.router,
)
"""JSON routes, each router with one tag."""

PAGES: tuple[APIRouter, ...] = (
    account_pages.router,
    provider_keys_pages.router,
    inference_hosts_pages.router,
    admin_bulk_pages.router,
    admin_pages.router,
    api_doc_pages.router,
    text_search_pages.router,
    search_pages.router,
    steering_pages.router,
    inference_pages.router,
    activations_pages.router,
    explanations_pages.router,
    scores_pages.router,
    vectors_pages.router,
    # the last two have paths of variables only (`/{model}/{source}/{index}`): named paths come before them
    features_pages.router,
    catalog_pages.router,
)

PARTS: tuple[Callable[[FastAPI], AbstractAsyncContextManager[None]], ...] = (
    background_inference.lifespan,
    autointerp_client.lifespan,
    background_embedder.lifespan,
    background_cleanup.lifespan,
    background_uploads.lifespan,
    key_hashes.lifespan,
    first_start.lifespan,
)
"""Context managers of the folders, entered at start-up after `app.state.database` is set, and left at shutdown."""


class _App(ServiceApp):
    content_security_policy = middleware.OWN_PAGES_POLICY

    def openapi(self) -> dict[str, Any]:
        """The document with the models that only events use, which FastAPI does not collect."""
        document = super().openapi()
        _, models = models_json_schema(
            [(SteerDelta, "serialization"), (ScoreStep, "serialization")],
            ref_template="#/components/schemas/{model}",
        )
        schemas = document["components"]["schemas"]
        document["components"]["schemas"] = dict(sorted((models["$defs"] | schemas).items()))
        return document


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        url = stack.enter_context(database_url(settings))
        await prepare(url, settings.read_only)
        app.state.database = Database(url, settings)
        stack.push_async_callback(app.state.database.close)
        for part in PARTS:
            await stack.enter_async_context(part(app))
        yield


def _operation_id(route: APIRoute) -> str:
    return route.name


def _slots(settings: Settings, what: str, setting: str) -> StreamSlots:
    in_all, per_visitor = (
        Limit(getattr(settings, name), variable(name)) for name in (setting, f"{setting}_per_visitor")
    )
    return StreamSlots(what, per_visitor, in_all)


@cache
def _routed_app() -> FastAPI:
    """An application with the routes alone.

    All applications of a process have its routes: FastAPI builds the models of each included router anew, which takes
    0.1 s for each application that tests start.
    """
    app = FastAPI(
        generate_unique_id_function=_operation_id,
        dependencies=[Depends(check_body_text), Depends(current_identity)],
        responses={
            401: {
                "model": errors.ErrorBody,
                "description": "The key in X-Api-Key is unknown, expired or revoked",
            },
            422: {"model": errors.ErrorBody, "description": "A field is missing, of another type or out of its range"},
            503: {"model": errors.ErrorBody, "description": "The database does not answer, or is busy"},
        },
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.include_router(health_api.router)
    for router in API:
        app.include_router(router, prefix="/api")
    for router in PAGES:
        app.include_router(router, include_in_schema=False, dependencies=[Depends(errors.not_api)])
    return app


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Nothing is opened before it starts, so its OpenAPI document needs no database."""
    app = _App(
        title="memicos",
        version="0.1.0",
        summary="Dashboards of the features of language models; search, activations on texts, steering.",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.settings = settings or Settings()
    app.state.stream_slots = _slots(app.state.settings, "steering requests", "streams")
    app.state.job_stream_slots = _slots(app.state.settings, "streams of jobs", "job_streams")
    app.state.job_watch = JobWatch()
    middleware.install(app, app.state.settings)
    request_log.install(app, app.state.settings.log_requests)
    errors.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.router.routes.extend(_routed_app().routes)
    # those that the shared routes read
    app.dependency_overrides = _routed_app().dependency_overrides
    if root_path := app.state.settings.root_path:
        app.servers = [{"url": root_path}]
    app.add_middleware(SubPath, root_path=root_path)
    # outermost: everything below sees the client's address, scheme and host
    app.add_middleware(ProxyHeaders, trusted=parse_networks(app.state.settings.trusted_proxies))
    return app
