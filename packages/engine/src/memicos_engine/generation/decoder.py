"""Generations written together: one batch, in which rows join and leave between steps.

Prompts are first run on their own, in slices where others are being written; then their rows go on in the batch by a
token a step. Every run gets mask and positions: transformers derives them in `generate` only.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Cache, DynamicCache

from memicos_engine.capture.batch_stats import BatchStats, StatsCallback, ignore_stats
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.generation import Generation, Row, kv_cache_bytes
from memicos_engine.generation.kv_cache import (
    BatchCache,
    RightAlignedCache,
    SingleGenerationCache,
    kv_cache_nbytes,
    supports_row_batching,
)
from memicos_engine.generation.steering import apply_steering
from memicos_engine.model.language_model import LanguageModel


@dataclass
class _BatchRow:
    """A row of the batch."""

    generation: Generation
    row: int


@dataclass
class _PrefillBatch:
    """Rows whose prompts (B, T), padded on the left, have been run up to column `done`."""

    rows: list[_BatchRow]
    pads: list[int]
    ids: torch.Tensor
    mask: torch.Tensor
    where: torch.Tensor | None
    cache: Cache
    done: int = 0


class Decoder:
    """Writes the generations that join it; not for several threads.

    There are at most `max_rows` rows, and their keys and values take at most `kv_bytes`; one generation alone may have
    all it needs. A model that remembers something else than keys and values writes one generation at a time.
    """

    def __init__(self, model: LanguageModel, max_rows: int, kv_bytes: int) -> None:
        self._model = model
        self._max_rows = max_rows
        self._kv_bytes = kv_bytes
        self._shared = supports_row_batching(model.hf.config)
        self._cache: BatchCache = (
            RightAlignedCache(model.hf.config, model.device) if self._shared else SingleGenerationCache(model.device)
        )
        self._waiting: list[Generation] = []
        self._prefill: _PrefillBatch | None = None
        self._batch: list[_BatchRow] = []

    @property
    def generations(self) -> list[Generation]:
        """Those that have joined, and neither are done nor have left."""
        rows = [*self._batch, *(self._prefill.rows if self._prefill else [])]
        there = dict.fromkeys([*(one.generation for one in rows), *self._waiting])
        return [one for one in there if not one.done]

    @property
    def n_batch_rows(self) -> int:
        """Rows in the batch."""
        return len(self._batch)

    @property
    def batch_generations(self) -> list[Generation]:
        """Those with rows in the batch."""
        return list(dict.fromkeys(one.generation for one in self._batch))

    @property
    def cache_nbytes(self) -> int:
        """Memory of keys and values now. May be read from any thread."""
        prompts = self._prefill
        return kv_cache_nbytes(self._cache.cache) + (kv_cache_nbytes(prompts.cache) if prompts else 0)

    @property
    def has_prefill(self) -> bool:
        return bool(self._waiting) or self._prefill is not None

    @property
    def prefill_generations(self) -> list[Generation]:
        """Those whose prompts are being run, or wait to be."""
        running = self._prefill.rows if self._prefill else []
        return list(dict.fromkeys(one.generation for one in running)) or list(self._waiting)

    def fits(self, new: Generation) -> bool:
        """Whether it may join now."""
        there = [*self.generations, new]
        if len(there) == 1:
            return True
        rows = [(one, row) for one in there for row in one.unfinished_rows]
        n_rows = len(rows)
        if not self._shared or n_rows > self._max_rows:
            return False
        # the longest row so far need not be the one that has most to come
        so_far = max(len(one.rows[row].ids) + len(one.ids[row]) for one, row in rows)
        to_come = max(one.n_tokens - len(one.ids[row]) for one, row in rows)
        return kv_cache_bytes(self._model, n_rows, so_far + to_come) <= self._kv_bytes

    def join(self, new: Generation) -> None:
        self._waiting.append(new)

    @torch.inference_mode()
    def leave(self, gone: Generation) -> None:
        """It is written no further; its rows in the batch are free at once."""
        gone.cancelled = True
        if gone in self._waiting:
            self._waiting.remove(gone)
        if self._prefill and all(one.generation.done for one in self._prefill.rows):
            self._prefill = None
        for place in reversed(range(len(self._batch))):
            if self._batch[place].generation is gone:
                self._remove(place)

    @torch.inference_mode()
    def prefill(self, most: int, ran: StatsCallback = ignore_stats) -> list[Generation]:
        """Run a slice of at most `most` tokens, padding included, of prompts; one column at least.

        Gives those that have their first tokens now.
        """
        if self._prefill is None:
            self._prefill = self._next_prompts(most)
        now = self._prefill
        end = now.ids.shape[1]
        if self._shared:
            end = min(end, now.done + max(1, most // len(now.ids)))
        columns = slice(now.done, end)
        where = None if now.where is None else now.where[:, columns]
        with apply_steering([one.generation.steering[one.row] for one in now.rows], where):
            output = self._model.hf(
                input_ids=now.ids[:, columns],
                attention_mask=now.mask[:, :end],
                position_ids=(now.mask[:, :end].cumsum(-1) - 1).clamp(min=0)[:, columns],
                past_key_values=now.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        ran(
            BatchStats(
                len(now.ids), sum(max(0, end - max(now.done, pad)) for pad in now.pads), now.ids[:, columns].numel()
            )
        )
        now.done = end
        if end < now.ids.shape[1]:
            return []
        exact = output.logits[:, -1].float().cpu()
        first = len(self._batch)
        self._cache.add(now.cache, now.mask.sum(-1).tolist())
        # not before what may find no memory: until then they are prompts, to whoever asks
        self._prefill = None
        self._batch += now.rows
        return self._accept(first, exact)

    @torch.inference_mode()
    def step(self) -> list[Generation]:
        """Write one token in every row of the batch. Gives those that have got one."""
        tokens = [one.generation.ids[one.row][-1] for one in self._batch]
        device = self._model.device
        mask = self._cache.begin()
        with apply_steering([one.generation.steering[one.row] for one in self._batch]):
            output = self._model.hf(
                input_ids=torch.tensor(tokens, device=device)[:, None],
                attention_mask=mask,
                position_ids=torch.tensor(self._cache.lengths, device=device)[:, None],
                past_key_values=self._cache.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        exact = output.logits[:, -1].float().cpu()
        self._cache.advance()
        return self._accept(0, exact)

    def advance(self) -> list[Generation]:
        """All that waits is run, or a token written where nothing does."""
        return self.prefill(sys.maxsize) if self.has_prefill else self.step()

    def _next_prompts(self, most: int) -> _PrefillBatch:
        """Of those that wait in turn, as many as are run in `most` tokens when padded to one length; one at least."""
        chosen: list[Generation] = []
        for one in self._waiting:
            rows = _unfinished_rows([*chosen, one])
            if chosen and len(rows) * max(len(row.ids) for row in rows) > most:
                break
            chosen.append(one)
        rows = _unfinished_rows(chosen)
        longest = max(len(row.ids) for row in rows)
        pads = [longest - len(row.ids) for row in rows]
        device = self._model.device
        where = None
        if any(row.mask is not None for row in rows):
            steered_at = [row.mask if row.mask is not None else [True] * len(row.ids) for row in rows]
            where = _pad_left(steered_at, pads, device).bool()
        prompts = _PrefillBatch(
            rows=[_BatchRow(one, row) for one in chosen for row in one.unfinished_rows],
            pads=pads,
            ids=_pad_left([row.ids for row in rows], pads, device),
            mask=_pad_left([[1] * len(row.ids) for row in rows], pads, device),
            where=where,
            cache=DynamicCache(config=self._model.hf.config),
        )
        del self._waiting[: len(chosen)]
        return prompts

    def _accept(self, first: int, exact: torch.Tensor) -> list[Generation]:
        """Let the rows of the batch from `first` on go on after logits (rows, V); what is done leaves the batch."""
        rows = self._batch[first:]
        for one, here in zip(rows, exact, strict=True):
            if not one.generation.done:
                try:
                    one.generation.accept(one.row, here)
                except InvalidRequestError as error:
                    one.generation.error = error
        for place in reversed(range(first, len(self._batch))):
            one = self._batch[place]
            if one.generation.done or one.generation.finish_reasons[one.row] is not None:
                self._remove(place)
        return list(dict.fromkeys(one.generation for one in rows))

    def _remove(self, place: int) -> None:
        """Of the batch; the last row takes its place."""
        self._cache.remove(place)
        last = self._batch.pop()
        if place < len(self._batch):
            self._batch[place] = last


def _unfinished_rows(generations: Sequence[Generation]) -> list[Row]:
    return [one.rows[row] for one in generations for row in one.unfinished_rows]


def _pad_left(
    rows: Sequence[Sequence[int] | Sequence[bool]], pads: Sequence[int], device: torch.device
) -> torch.Tensor:
    """Rows of one length, zeros on the left."""
    return torch.tensor([[0] * pad + [int(one) for one in row] for row, pad in zip(rows, pads, strict=True)]).to(device)


def new_decoder(model: LanguageModel, *generations: Generation) -> Decoder:
    """A decoder that these have joined, with room for them."""
    decoder = Decoder(model, sum(len(one.rows) for one in generations), kv_bytes=0)
    for one in generations:
        decoder.join(one)
    return decoder


def generate(model: LanguageModel, *generations: Generation) -> None:
    """Write them to their end. Raises InvalidRequestError where one cannot go on."""
    decoder = new_decoder(model, *generations)
    while decoder.generations:
        decoder.advance()
    for one in generations:
        if one.error is not None:
            raise one.error
