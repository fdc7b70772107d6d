"""Gauges that `GET /metrics` reads at the time of the request: queue lengths, running texts, memory.

They are read in the thread of the request. Nothing here waits for the model's thread or runs on the device.
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
    """Collects the gauges; those of the model have no values until it is loaded."""

    def __init__(self, scheduler: Scheduler, verification: Verification, settings: Settings) -> None:
        self._scheduler = scheduler
        self._verification = verification
        self._settings = settings

    def describe(self) -> Iterator[Metric]:
        """No metrics: without this method a registry calls `collect` to learn the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        settings, state = self._settings, self._scheduler.progress.state
        yield _labelled(
            "model_state",
            "1 for the present state of the model",
            "state",
            {name: float(name == state) for name in ("loading", "ready", "failed")},
        )
        yield _gauge("selftest_failed_checks", "Checks of the self-test that failed", len(self._verification.failed))
        waiting = self._scheduler.waiting
        yield _labelled("waiting", "Requests that wait for the model, by what they wait for", "kind", waiting)
        yield _gauge("waiting_limit", "Requests that may wait, INFERENCE_MAX_WAITING", settings.max_waiting)
        yield _gauge("rows_limit", "Largest number of texts generated at a time, INFERENCE_MAX_ROWS", settings.max_rows)
        yield _gauge("kv_limit_bytes", "Memory for keys and values, INFERENCE_KV_BYTES", settings.kv_bytes)
        yield _gauge(
            "sources_loaded_limit", "Largest number of sources in memory, MAX_LOADED_SAES", settings.max_loaded_saes
        )
        yield _gauge(
            "sources_loaded_limit_bytes", "Limit of the memory of sources, INFERENCE_SAE_BYTES", settings.sae_bytes
        )
        yield _gauge(
            "capture_bytes", "Memory of activations captured and not yet answered", self._scheduler.captured_bytes
        )
        yield _gauge(
            "capture_limit_bytes", "Limit of the memory of activations, INFERENCE_CAPTURE_BYTES", settings.capture_bytes
        )
        yield from _model_gauges(self._scheduler.loaded)


def _model_gauges(loaded: LoadedModel | None) -> Iterator[Metric]:
    rows = _gauge("rows", "Texts that are being generated; STEERED and DEFAULT of a request are two")
    kv = _gauge("kv_bytes", "Memory of keys and values")
    sources = _gauge("sources_loaded", "Sources in memory")
    source_bytes = _gauge("sources_loaded_bytes", "Memory of the sources in memory")
    device = _labelled(
        "device_memory_bytes", "CUDA memory of tensors (allocated), and reserved by the allocator (reserved)", "kind"
    )
    hits = CounterMetricFamily(f"{PREFIX}_cache_hits", "Cache lookups that found an entry", labels=["cache"])
    misses = CounterMetricFamily(f"{PREFIX}_cache_misses", "Cache lookups that found none", labels=["cache"])
    cache_bytes = _labelled("cache_bytes", "Memory of the entries of a cache", "cache")
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
        for name, cache in loaded.caches.items():
            hits.add_metric([name], cache.hits)
            misses.add_metric([name], cache.misses)
            cache_bytes.add_metric([name], cache.nbytes)
    yield from (rows, kv, sources, source_bytes, device, hits, misses, cache_bytes)


def _gauge(name: str, description: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", description, value=value)


def _labelled(name: str, description: str, label: str, values: dict[str, float] | None = None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", description, labels=[label])
    for key, value in (values or {}).items():
        family.add_metric([key], value)
    return family
