"""What `GET /metrics` reads off when it is asked: what waits, what is written, what is in memory.

It is read from the thread of the request. Nothing here waits for the model's thread or runs anything on the device.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from memicos_inference.metrics import PREFIX
from memicos_inference.settings import Settings
from memicos_inference.verification.state import Verification

if TYPE_CHECKING:
    from memicos_inference.loaded_model import LoadedModel
    from memicos_inference.scheduler.scheduler import Scheduler


class Gauges(Collector):
    """Also while the model loads: then what belongs to it is left out."""

    def __init__(self, scheduler: Scheduler, verification: Verification, settings: Settings) -> None:
        self._scheduler = scheduler
        self._verification = verification
        self._settings = settings

    def describe(self) -> Iterator[Metric]:
        """None: else a registry would collect to learn the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        settings, state = self._settings, self._scheduler.progress.state
        yield _labelled(
            "model_state",
            "1 for the state that the model is in",
            "state",
            {one: float(one == state) for one in ("loading", "ready", "failed")},
        )
        yield _gauge("selftest_failed_checks", "Checks of the self-test that failed", len(self._verification.failed))
        waiting = self._scheduler.waiting
        yield _labelled("waiting", "Requests that wait for the model, by what they wait for", "kind", waiting)
        yield _gauge("waiting_limit", "Requests that may wait, INFERENCE_MAX_WAITING", settings.max_waiting)
        yield _gauge("rows_limit", "Texts written at a time, INFERENCE_MAX_ROWS", settings.max_rows)
        yield _gauge("kv_limit_bytes", "Memory for keys and values, INFERENCE_KV_BYTES", settings.kv_bytes)
        yield _gauge("sources_loaded_limit", "Sources in memory at most, MAX_LOADED_SAES", settings.max_loaded_saes)
        yield _gauge("sources_loaded_limit_bytes", "Memory of sources at most, INFERENCE_SAE_BYTES", settings.sae_bytes)
        yield _gauge(
            "capture_bytes", "Memory of activations captured and not yet answered", self._scheduler.captured_bytes
        )
        yield _gauge(
            "capture_limit_bytes", "Memory of activations at most, INFERENCE_CAPTURE_BYTES", settings.capture_bytes
        )
        yield from _of_model(self._scheduler.loaded)


def _of_model(loaded: LoadedModel | None) -> Iterator[Metric]:
    rows = _gauge("rows", "Texts that are being written, STEERED and DEFAULT being two")
    kv = _gauge("kv_bytes", "Memory of keys and values now")
    sources = _gauge("sources_loaded", "Sources in memory")
    source_bytes = _gauge("sources_loaded_bytes", "Memory of these sources")
    device = _labelled("device_memory_bytes", "Memory of tensors on a CUDA device, and what is held for them", "kind")
    hits = CounterMetricFamily(f"{PREFIX}_cache_hits", "Answers or parts of them that a cache had", labels=["cache"])
    misses = CounterMetricFamily(f"{PREFIX}_cache_misses", "What was looked for in a cache in vain", labels=["cache"])
    cache_bytes = _labelled("cache_bytes", "Memory of what a cache holds", "cache")
    if loaded is not None:
        source_ids = loaded.source_cache.loaded
        rows.add_metric([], loaded.decoder.n_batch_rows)
        kv.add_metric([], loaded.decoder.cache_nbytes)
        sources.add_metric([], len(source_ids))
        source_bytes.add_metric([], loaded.source_cache.nbytes(source_ids))
        if loaded.model.device.type == "cuda":
            cuda = sys.modules["torch"].cuda
            device.add_metric(["allocated"], cuda.memory_allocated(loaded.model.device))
            device.add_metric(["reserved"], cuda.memory_reserved(loaded.model.device))
        for name, counts in loaded.caches.items():
            hits.add_metric([name], counts.hits)
            misses.add_metric([name], counts.misses)
            cache_bytes.add_metric([name], counts.nbytes)
    yield from (rows, kv, sources, source_bytes, device, hits, misses, cache_bytes)


def _gauge(name: str, words: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", words, value=value)


def _labelled(name: str, words: str, label: str, values: dict[str, float] | None = None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", words, labels=[label])
    for key, value in (values or {}).items():
        family.add_metric([key], value)
    return family
