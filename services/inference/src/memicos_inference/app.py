"""The FastAPI application of the inference server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from memicos_engine.model.hub import ProgressCallback
from memicos_service.application import ServiceApp
from memicos_service.openapi import docs_page
from memicos_service.security.guards import ServiceGuard
from memicos_service.security.host_names import allowed_names
from pydantic.json_schema import models_json_schema

from memicos_inference import model_loading
from memicos_inference.activation import api as activation_api
from memicos_inference.activation import raw_api
from memicos_inference.admin import api as admin_api
from memicos_inference.chat_template import api as chat_api
from memicos_inference.gauges import Gauges
from memicos_inference.http import errors, request_log
from memicos_inference.loaded_model import LoadedModel
from memicos_inference.metrics import Metrics
from memicos_inference.scheduler.scheduler import Scheduler
from memicos_inference.settings import Settings, read
from memicos_inference.status import api as status_api
from memicos_inference.status.published import PublishedCapabilities
from memicos_inference.steering import api as steering_api
from memicos_inference.steering.schemas import SteerDelta
from memicos_inference.tokenization import api as tokenization_api
from memicos_inference.vectors import api as vectors_api
from memicos_inference.verification.guard import require_verified
from memicos_inference.verification.state import Verification

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {
        "model": errors.ErrorBody,
        "description": "Invalid request: an unknown name, a wrong combination of fields, or a limit exceeded",
    },
    401: {"model": errors.ErrorBody, "description": "Wrong or missing X-SECRET-KEY"},
    403: {"model": errors.ErrorBody, "description": "Not allowed by the server's settings, such as the request's Host"},
    404: {"model": errors.ErrorBody, "description": "No such source"},
    413: {"model": errors.ErrorBody, "description": "The request body exceeds INFERENCE_BODY_BYTES"},
    422: {"model": errors.ErrorBody, "description": "A field is missing, of the wrong type or out of range"},
    503: {
        "model": errors.ErrorBody,
        "description": "Unavailable: the model is loading or failed to load, the queue is full, memory ran out, or a "
        "self-test check failed (see `cause`); Retry-After, if present, gives the seconds to wait",
    },
}


class _App(ServiceApp):
    def openapi(self) -> dict[str, Any]:
        """FastAPI's document, and the models that only events contain."""
        document = super().openapi()
        _, definitions = models_json_schema(
            [(SteerDelta, "serialization")], ref_template="#/components/schemas/{model}"
        )
        schemas = document["components"]["schemas"]
        document["components"]["schemas"] = dict(sorted((definitions["$defs"] | schemas).items()))
        return document


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler: Scheduler = app.state.scheduler
    scheduler.start()
    yield
    scheduler.stop()


def _load(
    settings: Settings, verification: Verification, capabilities: PublishedCapabilities, report: ProgressCallback
) -> LoadedModel:
    loaded = replace(model_loading.load_model(settings, report), verification=verification)
    verification.run_short(loaded, report)
    capabilities.update(loaded)
    return loaded


def _operation_id(route: APIRoute) -> str:
    return route.name


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. `settings` default to those of the environment.

    Nothing is loaded before it starts; then the model loads in a thread while /health already responds.
    """
    app = _App(
        title="memicos inference",
        version="0.1.0",
        summary="Runs a language model and its SAEs: activations, and steered generation.",
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    settings = settings or read()
    app.state.verification = Verification(settings)
    app.state.settings = settings
    metrics = app.state.metrics = Metrics()
    verification: Verification = app.state.verification
    capabilities = app.state.capabilities = PublishedCapabilities(verification)
    app.state.scheduler = Scheduler(
        partial(_load, settings, verification, capabilities), settings, metrics, idle_work=verification.run_left_out
    )
    metrics.registry.register(Gauges(app.state.scheduler, app.state.verification, settings))
    app.add_middleware(
        ServiceGuard,
        hosts=allowed_names(settings.allowed_hosts, settings.host),
        hosts_setting="INFERENCE_ALLOWED_HOSTS",
        secret=settings.secret,
        open_paths={"/health", "/metrics"},
        body_bytes=settings.body_bytes,
        body_setting="INFERENCE_BODY_BYTES",
        make_response=errors.make_response,
    )
    request_log.install(app, metrics, settings.log_requests)
    errors.install(app)
    docs_page.install(app)
    app.include_router(status_api.health_router)
    app.include_router(status_api.router, responses={code: ERRORS[code] for code in (401, 403, 503)})
    for api in (tokenization_api, chat_api, activation_api, raw_api, steering_api, vectors_api):
        own = {code: ERRORS[code] for code in ERRORS if code != 404}
        app.include_router(api.router, responses=own, dependencies=[Depends(require_verified)])
    app.include_router(admin_api.router, responses=ERRORS)
    return app
