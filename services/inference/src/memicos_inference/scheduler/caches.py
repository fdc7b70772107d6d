"""What is kept of earlier requests: texts as the model writes them unsteered, and activations. Used longest ago, gone
first; both are for the model's thread, and their counts for anyone.

Keys have everything that the numbers depend on while the server runs: model, weights and dtype stay the same.
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
_LARGEST = 4
"""What takes more than this part of a cache is not kept: it would push out too much."""


class Cache:
    """At most `most` bytes of values; 0 keeps none. `hits` and `misses` count requests."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: LRUCache[Any, tuple[Any, int]] = LRUCache(most, getsizeof=lambda pair: pair[1])
        self.hits = 0
        self.misses = 0

    @property
    def nbytes(self) -> int:
        return int(self._kept.currsize)

    def _get(self, key: Any) -> Any | None:
        return self._kept.get(key, (None, 0))[0]

    def _has_room(self, nbytes: int) -> bool:
        return nbytes * _LARGEST <= self._most

    def _count(self, hit: bool) -> None:
        self.hits += hit
        self.misses += not hit


class TextCache(Cache):
    """Unsteered texts by prompt and sampling: moving a strength writes one row, not two."""

    def find(self, ids: Sequence[int], sampling: Sampling, n_tokens: int) -> CompletedText | None:
        """The first `n_tokens` of it; None where fewer are kept and it went on."""
        kept: CompletedText | None = self._get(_text_key(ids, sampling))
        found = kept.first(n_tokens) if kept else None
        self._count(found is not None)
        return found

    def keep(self, generation: Generation) -> None:
        """Rows of it that are complete and unsteered."""
        for number, row in enumerate(generation.rows):
            if row.steers or generation.finish_reasons[number] is None:
                continue
            key = _text_key(row.ids, generation.sampling)
            written = generation.result(number)
            n_tokens = len(written.ids)
            nbytes = _KEY_BYTES * (len(row.ids) + n_tokens) + _LOGPROB_BYTES * sum(
                1 + len(one.top) for one in written.logprobs
            )
            before: CompletedText | None = self._get(key)
            if self._has_room(nbytes) and (before is None or len(before.ids) < n_tokens):
                self._kept[key] = written, nbytes


def _text_key(ids: Sequence[int], sampling: Sampling) -> Any:
    drawn = (sampling.temperature, max(0.0, sampling.freq_penalty), sampling.seed) if sampling.temperature > 0 else None
    return tuple(ids), drawn, sampling.n_logprobs


class ActivationCache(Cache):
    """Activations by prompt and hook: asking for another feature of the same prompt does not run the model."""

    def find(self, wanted: CaptureRequest) -> CapturedActivations | None:
        """All that is wanted, or None where a part of it is not kept."""
        found: CapturedActivations = []
        for ids in wanted.prompts:
            key = tuple(ids)
            here: dict[str, torch.Tensor] = {}
            for name in wanted.hook_names:
                if (kept := self._get((key, name, wanted.last))) is not None:
                    here[name] = kept
            if len(here) < len(wanted.hook_names):
                self._count(False)
                return None
            found.append(here)
        self._count(True)
        return found

    def keep(self, wanted: CaptureRequest, captured: CapturedActivations) -> None:
        """Where the device is full, room is made instead."""
        try:
            self._copy(wanted, captured)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._kept.clear()

    def _copy(self, wanted: CaptureRequest, captured: CapturedActivations) -> None:
        for ids, here in zip(wanted.prompts, captured, strict=True):
            key = tuple(ids)
            for name, hidden in here.items():
                nbytes = hidden.numel() * hidden.element_size() + _KEY_BYTES * len(key)
                if self._has_room(nbytes):
                    # a copy: the original is a part of a batch, and would keep all of it
                    self._kept[key, name, wanted.last] = hidden.clone(), nbytes
