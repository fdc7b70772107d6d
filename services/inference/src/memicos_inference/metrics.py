"""Counters and histograms for `GET /metrics`; `gauges` has the values that are read at the time of the request.

All names begin with `memicos_inference_`. No label takes values from requests.
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
"""Kinds of requests: capture of activations, generation of text, and requests that run no forward pass."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
TOKENS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """Counters and histograms in a registry of their own. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter(
            "requests", "Requests; status 499: the client disconnected", "endpoint", "status"
        )
        self._seconds = self._histogram(
            "request_seconds",
            "Seconds from a request to the end of its response, streams included",
            SECONDS,
            "endpoint",
        )
        self._first_byte = self._histogram(
            "stream_first_byte_seconds", "Seconds from a request to the first byte of its stream", SECONDS, "endpoint"
        )
        self._refusals = self._counter("refusals", "Errors in responses and streams, by cause", "cause")
        self._wait = self._histogram(
            "wait_seconds", "Seconds that requests waited until the model began their work", (0.001, *SECONDS), "kind"
        )
        self._step_rows = self._histogram("step_rows", "Texts that got a token in one forward pass", ROWS)
        self._run_prompts = self._histogram(
            "run_prompts", "Prompts, or parts of them, in one forward pass", ROWS, "kind"
        )
        self._run_tokens = self._histogram(
            "run_tokens", "Tokens of prompts in one forward pass, padding included", TOKENS, "kind"
        )
        self._tokens_in = self._counter("tokens_in", "Tokens of prompts that were run, without padding", "kind")
        self._tokens_out = self._counter("tokens_out", "Generated tokens")
        self.tasks = Gauge(f"{PREFIX}_tasks", "Tasks of the server's event loop", registry=self.registry)
        # series exist from the start, so that rates count the first event
        for cause in get_args(Cause):
            self._refusals.labels(cause)
        for kind in ("capture", "text"):
            self._tokens_in.labels(kind)
        # memory, processor time and open files of the process; Python's version and garbage collector
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def record_response(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a response and its duration."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def record_first_byte(self, endpoint: str, seconds: float) -> None:
        """Count the first byte of a stream."""
        self._first_byte.labels(endpoint).observe(seconds)

    def record_refusal(self, cause: Cause) -> None:
        self._refusals.labels(cause).inc()

    def record_start(self, pending: PendingRequest, kind: Kind, n_tokens: int) -> None:
        """The model's thread begins a request with `n_tokens` tokens of prompts to run. Once per request."""
        context = pending.request_context
        context.tokens_in, context.waited = n_tokens, time.monotonic() - pending.since
        self._wait.labels(kind).observe(context.waited)

    def record_capture_batch(self, stats: BatchStats) -> None:
        self._record_batch("capture", stats)

    def record_prefill_batch(self, stats: BatchStats) -> None:
        self._record_batch("text", stats)

    def record_step(self, rows: int) -> None:
        """Count a forward pass that generates a token in each of `rows` rows."""
        self._step_rows.observe(rows)

    def record_tokens(self, pending: PendingRequest, n_tokens: int) -> None:
        """Count tokens that were generated for a request."""
        self._tokens_out.inc(n_tokens)
        pending.request_context.tokens_out += n_tokens

    def _record_batch(self, kind: Kind, stats: BatchStats) -> None:
        self._run_prompts.labels(kind).observe(stats.rows)
        self._run_tokens.labels(kind).observe(stats.padded)
        self._tokens_in.labels(kind).inc(stats.tokens)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", description, labels, registry=self.registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", description, labels, buckets=buckets, registry=self.registry)
