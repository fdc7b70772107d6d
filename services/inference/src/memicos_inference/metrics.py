"""What is counted of an application, for `GET /metrics`; `gauges` has what is read off when it is asked for.

All names begin with `memicos_inference_`. No label has values that a request chooses.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from memicos_inference.http.errors import Cause

if TYPE_CHECKING:  # imports torch
    from memicos_engine.capture.batch_stats import BatchStats

    from memicos_inference.scheduler.pending_request import PendingRequest

PREFIX = "memicos_inference"
Kind = Literal["capture", "text", "direct"]
"""Activations to be captured, a text to be written, and what needs no run of the model."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
TOKENS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """Counters and histograms, in a registry of their own. From any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests; 499: the client has left", "endpoint", "status")
        self._seconds = self._histogram(
            "request_seconds",
            "From a request to the end of its answer, streams included",
            SECONDS,
            "endpoint",
        )
        self._first_byte = self._histogram(
            "stream_first_byte_seconds", "From a request to the first byte of its stream", SECONDS, "endpoint"
        )
        self._refusals = self._counter("refusals", "Errors in answers and in streams, by their cause", "cause")
        self._wait = self._histogram(
            "wait_seconds", "How long requests waited until the model took them", (0.001, *SECONDS), "kind"
        )
        self._step_rows = self._histogram("step_rows", "Texts that got a token in one run of the model", ROWS)
        self._run_prompts = self._histogram("run_prompts", "Prompts, or parts of them, in one run", ROWS, "kind")
        self._run_tokens = self._histogram(
            "run_tokens", "Tokens of prompts in one run of the model, padding included", TOKENS, "kind"
        )
        self._tokens_in = self._counter("tokens_in", "Tokens of prompts that were run, without padding", "kind")
        self._tokens_out = self._counter("tokens_out", "Tokens written")
        self.tasks = Gauge(f"{PREFIX}_tasks", "Tasks of the server's event loop", registry=self.registry)
        # known from the start, so that a rate is right from the first one on
        for cause in get_args(Cause):
            self._refusals.labels(cause)
        for kind in ("capture", "text"):
            self._tokens_in.labels(kind)
        # of the process: memory, processor time, open files; Python's version and collector
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def streamed(self, endpoint: str, seconds: float) -> None:
        """The first byte of a stream is on its way."""
        self._first_byte.labels(endpoint).observe(seconds)

    def refused(self, cause: Cause) -> None:
        self._refusals.labels(cause).inc()

    def record_start(self, pending: PendingRequest, kind: Kind, n_tokens: int) -> None:
        """The model's thread takes a request up, with `n_tokens` of prompts to run. Once for each request."""
        context = pending.request_context
        context.tokens_in, context.waited = n_tokens, time.monotonic() - pending.since
        self._wait.labels(kind).observe(context.waited)

    def record_capture_batch(self, ran: BatchStats) -> None:
        self._ran("capture", ran)

    def record_prefill_batch(self, ran: BatchStats) -> None:
        self._ran("text", ran)

    def record_step(self, rows: int) -> None:
        """A run of the model that writes a token in each of these rows."""
        self._step_rows.observe(rows)

    def record_tokens(self, pending: PendingRequest, n_tokens: int) -> None:
        """Tokens that were generated for a request."""
        self._tokens_out.inc(n_tokens)
        pending.request_context.tokens_out += n_tokens

    def _ran(self, kind: Kind, ran: BatchStats) -> None:
        self._run_prompts.labels(kind).observe(ran.rows)
        self._run_tokens.labels(kind).observe(ran.padded)
        self._tokens_in.labels(kind).inc(ran.tokens)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", words, labels, buckets=buckets, registry=self.registry)
