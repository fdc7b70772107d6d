"""Least-recently-used caches of unsteered texts and of activations.

Only the model's thread reads and writes entries; any thread may read the counts. Keys hold every input that the values
depend on while the server runs: model, weights and dtype stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache
from memicos_engine.errors import is_out_of_memory

if TYPE_CHECKING:
    import torch
    from memicos_engine.capture.capture import CapturedActivations, CaptureRequest
    from memicos_engine.generation.generation import CompletedText, Generation, Sampling

_KEY_BYTES = 40
"""Memory of a token id in a key."""
_LOGPROB_BYTES = 160
"""Memory of a token's log-probability, and of each alternative's."""
_MIN_ENTRIES = 4
"""An entry larger than 1 / _MIN_ENTRIES of a cache is not stored: it would evict too many others."""


class Cache:
    """At most `max_bytes` bytes of values; 0 stores none. `hits` and `misses` count requests."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: LRUCache[Any, tuple[Any, int]] = LRUCache(max_bytes, getsizeof=lambda pair: pair[1])
        self.hits = 0
        self.misses = 0

    @property
    def nbytes(self) -> int:
        return int(self._entries.currsize)

    def _get(self, key: Any) -> Any | None:
        return self._entries.get(key, (None, 0))[0]

    def _has_room(self, nbytes: int) -> bool:
        return nbytes * _MIN_ENTRIES <= self._max_bytes

    def _count(self, hit: bool) -> None:
        self.hits += hit
        self.misses += not hit


class TextCache(Cache):
    """Unsteered texts by prompt and sampling: a request with another strength generates one row instead of two."""

    def find(self, ids: Sequence[int], sampling: Sampling, n_tokens: int) -> CompletedText | None:
        """The first `n_tokens` tokens of the text; None where fewer are cached and the text did not end there."""
        cached: CompletedText | None = self._get(_text_key(ids, sampling))
        text = cached.first(n_tokens) if cached else None
        self._count(text is not None)
        return text

    def keep(self, generation: Generation) -> None:
        """Store the rows of a generation that are complete and unsteered."""
        for number, row in enumerate(generation.rows):
            if row.steers or generation.finish_reasons[number] is None:
                continue
            key = _text_key(row.ids, generation.sampling)
            text = generation.result(number)
            n_tokens = len(text.ids)
            nbytes = _KEY_BYTES * (len(row.ids) + n_tokens) + _LOGPROB_BYTES * sum(
                1 + len(logprob.top) for logprob in text.logprobs
            )
            previous: CompletedText | None = self._get(key)
            if self._has_room(nbytes) and (previous is None or len(previous.ids) < n_tokens):
                self._entries[key] = text, nbytes


def _text_key(ids: Sequence[int], sampling: Sampling) -> Any:
    drawn = (sampling.temperature, max(0.0, sampling.freq_penalty), sampling.seed) if sampling.temperature > 0 else None
    return tuple(ids), drawn, sampling.n_logprobs


class ActivationCache(Cache):
    """Activations by prompt and hook: a request for another feature of the same prompt does not run the model."""

    def find(self, request: CaptureRequest) -> CapturedActivations | None:
        """All activations of the request; None where one of them is not cached."""
        activations: CapturedActivations = []
        for ids in request.prompts:
            key = tuple(ids)
            by_hook: dict[str, torch.Tensor] = {}
            for name in request.hook_names:
                if (cached := self._get((key, name, request.last))) is not None:
                    by_hook[name] = cached
            if len(by_hook) < len(request.hook_names):
                self._count(False)
                return None
            activations.append(by_hook)
        self._count(True)
        return activations

    def keep(self, request: CaptureRequest, captured: CapturedActivations) -> None:
        """Store copies of the activations; empty the cache where the device has no memory for them."""
        try:
            self._copy(request, captured)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._entries.clear()

    def _copy(self, request: CaptureRequest, captured: CapturedActivations) -> None:
        for ids, by_hook in zip(request.prompts, captured, strict=True):
            key = tuple(ids)
            for name, hidden in by_hook.items():
                nbytes = hidden.numel() * hidden.element_size() + _KEY_BYTES * len(key)
                if self._has_room(nbytes):
                    # a copy: the original is a view of the batch and would keep all of it in memory
                    self._entries[key, name, request.last] = hidden.clone(), nbytes
