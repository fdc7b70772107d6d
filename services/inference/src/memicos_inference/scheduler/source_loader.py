"""Reads the weights of sources in a thread of its own, so that a first use does not stop generation."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources.source import Source
    from memicos_engine.sources.source_cache import CacheEntry

    from memicos_inference.loaded_model import LoadedModel


class SourceLoader:
    """Loads one source at a time, in the order in which they were requested.

    All methods are for the model's thread, which also evicts other sources before a load and checks the source after
    it (a step per round, because the check runs the model). `wake` is called in the loading thread after each load.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._requested: OrderedDict[str, float] = OrderedDict()
        """Start of the wait for each requested source (time.monotonic), by id."""
        self._loading: str | None = None
        self._loaded: deque[tuple[CacheEntry, Source | Exception]] = deque()
        self._check: tuple[CacheEntry, Source, Generator[None, None, None]] | None = None

    @property
    def loading(self) -> str | None:
        """Id of the source that is read now. From any thread."""
        return self._loading

    @property
    def has_work(self) -> bool:
        """Whether `advance` can do something now."""
        return bool(self._loaded or self._check or (self._requested and self._loading is None))

    def get(self, loaded: LoadedModel, source_id: str) -> Source | None:
        """The source where it is in memory; None, and its load requested, where it is not.

        Raises:
            BadInput, LoadError: there is no such source any more.
            Unavailable: the self-test found that it gives wrong values.
        """
        loaded.source_info(source_id)
        source = loaded.source_cache.cached(source_id)
        if source is None:
            if source_id != self._loading:
                self._requested.setdefault(source_id, time.monotonic())
            return None
        if loaded.verification:
            loaded.verification.require_source(source_id)
        return source

    def advance(self, loaded: LoadedModel, uses: Iterable[tuple[str, float]]) -> list[tuple[str, Exception]]:
        """Take a loaded source over, check it for a step, or start the next load. Returns loads that failed, by id.

        `uses` are the sources that jobs wait to use, and since when. A source that a job was to use before the next
        load was requested is not evicted for that load.
        """
        failed: list[tuple[str, Exception]] = []
        while self._loaded:
            entry, result = self._loaded.popleft()
            if isinstance(result, Exception):
                self._loading = None
                failed.append((entry.info.id, result))
            elif loaded.verification is None:
                self._finish(loaded, entry, result)
            else:
                self._check = entry, result, loaded.verification.check_source_steps(loaded, result)
        if self._check is not None:
            entry, source, steps = self._check
            try:
                next(steps)
            except StopIteration:
                self._check = None
                self._finish(loaded, entry, source)
        if self._loading is None and self._requested:
            source_id, since = next(iter(self._requested.items()))
            keep = {used for used, used_since in uses if used_since <= since}
            try:
                loaded.source_info(source_id)
                entry = loaded.source_cache.entry(source_id)
                if loaded.source_cache.make_room(entry, keep):
                    del self._requested[source_id]
                    self._start(entry)
            except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
                del self._requested[source_id]
                failed.append((source_id, error))
        return failed

    def _finish(self, loaded: LoadedModel, entry: CacheEntry, source: Source) -> None:
        self._loading = None
        loaded.source_cache.put(entry, source)

    def _start(self, entry: CacheEntry) -> None:
        self._loading = entry.info.id
        # A thread for each load: while another thread of the process has OpenMP threads of its own, those of the
        # model's thread sleep between operations, and a forward pass takes up to 1.3 times as long.
        threading.Thread(target=self._load, args=(entry,), name="sources", daemon=True).start()

    def _load(self, entry: CacheEntry) -> None:
        result: Source | Exception
        try:
            result = entry.load()
        except Exception as error:  # noqa: BLE001  # raised again in the requests' handlers
            result = error
        self._loaded.append((entry, result))
        # this thread keeps no source alive that the cache has evicted
        del result
        self._wake()
