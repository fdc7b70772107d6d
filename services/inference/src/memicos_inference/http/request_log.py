"""The request log and the request metrics of inference. Neither contains content of requests or responses."""

import hashlib
import logging
import secrets
from typing import Any

from fastapi import FastAPI
from memicos_service.logs import request_log
from memicos_service.logs.request_log import FinishedRequest, RequestObserver
from starlette.datastructures import Headers
from starlette.types import Scope

from memicos_inference.http.request_context import begin, request_context
from memicos_inference.metrics import Metrics

POLLED_ROUTES = {"/health", "/metrics"}
"""Called every few seconds: their lines are at level DEBUG."""
_SALT = secrets.token_bytes(16)


class _Observer(RequestObserver):
    """Counts requests in the metrics. Only internal errors are logged as warnings: other 5xx are normal refusals."""

    def __init__(self, metrics: Metrics, log_all: bool) -> None:
        super().__init__(log_all)
        self._metrics = metrics

    def started(self) -> None:
        begin()

    def first_event(self, scope: Scope, seconds: float) -> None:
        self._metrics.record_first_byte(self.route(scope), seconds)

    def finished(self, request: FinishedRequest) -> None:
        if request.crashed:
            request_context().cause = "internal"
        self._metrics.record_response(request.route, request.status, request.seconds)
        if (cause := request_context().cause) is not None:
            self._metrics.record_refusal(cause)

    def level(self, request: FinishedRequest) -> int:
        if request.route in POLLED_ROUTES:
            return logging.DEBUG
        if request_context().cause == "internal":
            return logging.WARNING
        return logging.INFO if self.log_all else logging.DEBUG

    def fields(self, request: FinishedRequest) -> dict[str, Any]:
        context = request_context()
        fields: dict[str, Any] = {}
        if context.waited is not None:
            fields["waited_seconds"] = round(context.waited, 4)
        if context.tokens_in:
            fields |= {"tokens_in": context.tokens_in, "tokens_out": context.tokens_out}
        if context.cause is not None:
            fields["cause"] = context.cause
        if client := Headers(scope=request.scope).get("x-client-id"):
            # a salted hash tells clients apart without logging their ids
            fields["client"] = hashlib.sha256(_SALT + client.encode()).hexdigest()[:16]
        return fields


def install(app: FastAPI, metrics: Metrics, log_all: bool) -> None:
    """Call it last: the middleware added last is the outermost."""
    request_log.install(app, logging.getLogger("memicos_inference.requests"), _Observer(metrics, log_all))
