"""The request log of the webapp: which route, status and time, and a pseudonym of the client."""

import logging
from typing import Any

from fastapi import FastAPI
from memicos_service.logs import request_log
from memicos_service.logs.request_log import FinishedRequest, RequestObserver
from starlette.types import Scope

from memicos_webapp.inference.visitors import visitor

STATIC = "/static"
"""A page loads several of these files: their lines are at level DEBUG."""


class _Observer(RequestObserver):
    def route(self, scope: Scope) -> str:
        if scope["path"].startswith(f"{STATIC}/"):
            return STATIC
        path = super().route(scope)
        # FastAPI's route holds the router's own path, without the prefix that the router was included under
        return f"/api{path}" if "route" in scope and scope["path"].startswith("/api/") else path

    def level(self, request: FinishedRequest) -> int:
        level = super().level(request)
        return logging.DEBUG if request.route == STATIC and level == logging.INFO else level

    def fields(self, request: FinishedRequest) -> dict[str, Any]:
        return {"client": visitor()} if visitor() else {}


def install(app: FastAPI, log_all: bool) -> None:
    """Call it last: the middleware added last is the outermost."""
    request_log.install(app, logging.getLogger("memicos_webapp.requests"), _Observer(log_all))
