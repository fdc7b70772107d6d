"""Continuous batching: one batch of generations, which rows join and leave between steps.

Prompts are prefilled separately, in slices if other generations are running; then their rows join the batch, which
generates one token per row and step. Every forward pass gets mask and positions explicitly: transformers derives them
in `generate` only.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from transformers import Cache, DynamicCache

from memicos_engine.capture.batch_stats import BatchStats, StatsCallback, ignore_stats
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.generation import Generation, kv_cache_bytes
from memicos_engine.generation.kv_cache import (
    BatchCache,
    RightAlignedCache,
    SingleGenerationCache,
    kv_cache_nbytes,
    supports_row_batching,
)
from memicos_engine.generation.steering import apply_steering
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.model.length_dependent_rope import text_lengths


@dataclass
class _BatchRow:
    """A row of the batch: row `row` of `generation`."""

    generation: Generation
    row: int

    @property
    def ids(self) -> list[int]:
        """The prompt and the tokens generated so far."""
        return [*self.generation.rows[self.row].ids, *self.generation.ids[self.row]]

    @property
    def ended(self) -> bool:
        return self.generation.done or self.generation.finish_reasons[self.row] is not None

    @property
    def mask(self) -> list[bool] | None:
        """Where `ids` are steered; None: at all of them. Generated tokens are."""
        mask = self.generation.rows[self.row].mask
        return None if mask is None else [*mask, *[True] * len(self.generation.ids[self.row])]


@dataclass
class _PrefillBatch:
    """Rows whose tokens (B, T), padded on the left, are prefilled up to column `done`.

    `where` (B, T) marks the positions that are steered; None: all.
    """

    rows: list[_BatchRow]
    pads: list[int]
    ids: torch.Tensor
    mask: torch.Tensor
    where: torch.Tensor | None
    cache: Cache
    done: int = 0


class Decoder:
    """Runs the generations that join it. Not thread-safe.

    The batch has at most `max_rows` rows, whose keys and values take at most `kv_bytes`; a single generation may exceed
    both. A model with another state than keys and values runs one generation at a time. Where a model's state cannot be
    kept between tokens (`caches_keys`), each token comes from a run of a row's whole text.

    Where a row's text grows beyond one of the model's `length_limits`, its keys and values are computed again: the row
    leaves the batch and is prefilled with its whole text.
    """

    def __init__(self, model: LanguageModel, max_rows: int, kv_bytes: int) -> None:
        self._model = model
        self._max_rows = max_rows
        self._kv_bytes = kv_bytes
        self._shared = model.caches_keys and supports_row_batching(model.hf.config)
        self._cache: BatchCache = (
            RightAlignedCache(model.hf.config, model.device) if self._shared else SingleGenerationCache(model.device)
        )
        self._waiting: list[list[_BatchRow]] = []
        """Rows to prefill; those of one list together."""
        self._prefill: _PrefillBatch | None = None
        self._batch: list[_BatchRow] = []

    @property
    def generations(self) -> list[Generation]:
        """Generations that have joined and are neither done nor cancelled."""
        rows = [*self._batch, *(self._prefill.rows if self._prefill else []), *chain(*self._waiting)]
        return [generation for generation in _generations(rows) if not generation.done]

    @property
    def n_batch_rows(self) -> int:
        """Number of rows in the batch."""
        return len(self._batch)

    @property
    def batch_generations(self) -> list[Generation]:
        """Generations with rows in the batch."""
        return _generations(self._batch)

    @property
    def cache_nbytes(self) -> int:
        """Current memory of keys and values. May be read from any thread."""
        prefill = self._prefill
        return kv_cache_nbytes(self._cache.cache) + (kv_cache_nbytes(prefill.cache) if prefill else 0)

    @property
    def has_prefill(self) -> bool:
        return bool(self._waiting) or self._prefill is not None

    @property
    def prefill_generations(self) -> list[Generation]:
        """Generations whose rows are being prefilled, or wait for it."""
        return _generations(self._prefill.rows if self._prefill else chain(*self._waiting))

    def fits(self, new: Generation) -> bool:
        """Whether `new` may join now: the limits of rows and memory hold with it."""
        generations = [*self.generations, new]
        if len(generations) == 1:
            return True
        rows = [(generation, row) for generation in generations for row in generation.unfinished_rows]
        n_rows = len(rows)
        if not self._shared or n_rows > self._max_rows:
            return False
        # the longest row need not be the one with the most tokens to generate
        longest = max(len(generation.rows[row].ids) + len(generation.ids[row]) for generation, row in rows)
        remaining = max(generation.n_tokens - len(generation.ids[row]) for generation, row in rows)
        return kv_cache_bytes(self._model, n_rows, longest + remaining) <= self._kv_bytes

    def join(self, new: Generation) -> None:
        rows = [_BatchRow(new, row) for row in new.unfinished_rows]
        self._waiting += [rows] if self._model.caches_keys else [[row] for row in rows]

    @torch.inference_mode()
    def leave(self, generation: Generation) -> None:
        """Cancel a generation and remove its rows from the batch."""
        generation.cancelled = True
        self._waiting = [rows for rows in self._waiting if rows[0].generation is not generation]
        if self._prefill and all(row.generation.done for row in self._prefill.rows):
            self._prefill = None
        for index in reversed(range(len(self._batch))):
            if self._batch[index].generation is generation:
                self._remove(index)

    @torch.inference_mode()
    def prefill(self, max_tokens: int, on_batch: StatsCallback = ignore_stats) -> list[Generation]:
        """Run a slice of prompts of at most `max_tokens` tokens, padding included, but at least one column.

        Returns the generations that got a token.
        """
        if not self._model.caches_keys:
            return self._run_whole_text(on_batch)
        if self._prefill is None:
            self._prefill = self._next_prefill(max_tokens)
        now = self._prefill
        end = now.ids.shape[1]
        if self._shared:
            end = min(end, now.done + max(1, max_tokens // len(now.ids)))
        columns = slice(now.done, end)
        where = None if now.where is None else now.where[:, columns]
        steering = [row.generation.steering[row.row] for row in now.rows]
        with apply_steering(steering, where), text_lengths(now.mask.sum(-1)):
            output = self._model.hf(
                input_ids=now.ids[:, columns],
                attention_mask=now.mask[:, :end],
                position_ids=(now.mask[:, :end].cumsum(-1) - 1).clamp(min=0)[:, columns],
                past_key_values=now.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        on_batch(
            BatchStats(
                len(now.ids), sum(max(0, end - max(now.done, pad)) for pad in now.pads), now.ids[:, columns].numel()
            )
        )
        now.done = end
        if end < now.ids.shape[1]:
            return []
        logits = output.logits[:, -1].float().cpu()
        first = len(self._batch)
        self._cache.add(now.cache, now.mask.sum(-1).tolist())
        # only after `add`, which may run out of memory: until then the rows count as prefill
        self._prefill = None
        self._batch += now.rows
        return self._accept(first, logits)

    @torch.inference_mode()
    def step(self) -> list[Generation]:
        """Generate one token in every row of the batch. Returns the generations of these rows."""
        tokens = [row.generation.ids[row.row][-1] for row in self._batch]
        device = self._model.device
        mask = self._cache.begin()
        lengths = [length + 1 for length in self._cache.lengths]
        with apply_steering([row.generation.steering[row.row] for row in self._batch]), text_lengths(lengths):
            output = self._model.hf(
                input_ids=torch.tensor(tokens, device=device)[:, None],
                attention_mask=mask,
                position_ids=torch.tensor(self._cache.lengths, device=device)[:, None],
                past_key_values=self._cache.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits = output.logits[:, -1].float().cpu()
        self._cache.advance()
        return self._accept(0, logits)

    def advance(self) -> list[Generation]:
        """Prefill all waiting prompts; if there are none, generate one token per row."""
        return self.prefill(sys.maxsize) if self.has_prefill else self.step()

    def _run_whole_text(self, on_batch: StatsCallback) -> list[Generation]:
        """Generate one token of the row that has waited longest, without a cache, mask or positions."""
        (row,) = self._waiting[0]
        ids = torch.tensor([row.ids], device=self._model.device)
        where = None if row.mask is None else torch.tensor([row.mask], device=self._model.device)
        with apply_steering([row.generation.steering[row.row]], where):
            output = self._model.hf(input_ids=ids, use_cache=False)
        on_batch(BatchStats(1, ids.numel(), ids.numel()))
        self._accept_logits(row, output.logits[0, -1].float().cpu())
        self._waiting.append(self._waiting.pop(0))
        # the whole generation has ended where one of its rows failed
        self._waiting = [rows for rows in self._waiting if not rows[0].ended]
        return [row.generation]

    def _next_prefill(self, max_tokens: int) -> _PrefillBatch:
        """The first waiting rows with at most `max_tokens` tokens when padded; at least those of one list."""
        n_lists = 1
        while n_lists < len(self._waiting):
            rows = list(chain(*self._waiting[: n_lists + 1]))
            if len(rows) * max(len(row.ids) for row in rows) > max_tokens:
                break
            n_lists += 1
        rows = list(chain(*self._waiting[:n_lists]))
        ids = [row.ids for row in rows]
        pads = [max(map(len, ids)) - len(tokens) for tokens in ids]
        device = self._model.device
        masks = [row.mask for row in rows]
        where = None
        if any(mask is not None for mask in masks):
            steered = [mask or [True] * len(tokens) for mask, tokens in zip(masks, ids, strict=True)]
            where = _pad_left(steered, pads, device).bool()
        batch = _PrefillBatch(
            rows=rows,
            pads=pads,
            ids=_pad_left(ids, pads, device),
            mask=_pad_left([[1] * len(tokens) for tokens in ids], pads, device),
            where=where,
            cache=DynamicCache(config=self._model.hf.config),
        )
        del self._waiting[:n_lists]
        return batch

    def _accept(self, first: int, logits: torch.Tensor) -> list[Generation]:
        """Append a token from `logits` (rows, V) to the batch's rows from `first` on; remove rows that are complete."""
        rows = self._batch[first:]
        for row, row_logits in zip(rows, logits, strict=True):
            self._accept_logits(row, row_logits)
        for index in reversed(range(first, len(self._batch))):
            if self._batch[index].ended:
                self._remove(index)
        self._requeue_rows_at_limit()
        return _generations(rows)

    def _accept_logits(self, row: _BatchRow, logits: torch.Tensor) -> None:
        """Append a token from `logits` (V,) to a row whose generation goes on."""
        if not row.generation.done:
            try:
                row.generation.accept(row.row, logits)
            except InvalidRequestError as error:
                row.generation.error = error

    def _requeue_rows_at_limit(self) -> None:
        """Let the rows whose next token exceeds one of the model's length limits be prefilled again."""
        limits = self._model.length_limits
        at_limit = [index for index, length in enumerate(self._cache.lengths) if length in limits]
        if at_limit and not self._shared:  # that cache takes rows only while it has none
            at_limit = list(range(len(self._batch)))
        rows = [self._batch[index] for index in at_limit]
        for index in reversed(at_limit):
            self._remove(index)
        self._waiting += [[row for row in rows if row.generation is generation] for generation in _generations(rows)]

    def _remove(self, index: int) -> None:
        """Remove a row from the batch; the last row moves to its index."""
        self._cache.remove(index)
        last = self._batch.pop()
        if index < len(self._batch):
            self._batch[index] = last


def _generations(rows: Iterable[_BatchRow]) -> list[Generation]:
    return list(dict.fromkeys(row.generation for row in rows))


def _pad_left(
    rows: Sequence[Sequence[int] | Sequence[bool]], pads: Sequence[int], device: torch.device
) -> torch.Tensor:
    """Rows as one tensor, with `pads` zeros on the left of each."""
    return torch.tensor([[0] * pad + list(map(int, row)) for row, pad in zip(rows, pads, strict=True)]).to(device)


def new_decoder(model: LanguageModel, *generations: Generation) -> Decoder:
    """A decoder that `generations` have joined, with a row for each of theirs."""
    decoder = Decoder(model, sum(len(generation.rows) for generation in generations), kv_bytes=0)
    for generation in generations:
        decoder.join(generation)
    return decoder


def generate(model: LanguageModel, *generations: Generation) -> None:
    """Run generations to their end. Raises InvalidRequestError if one fails."""
    decoder = new_decoder(model, *generations)
    while decoder.generations:
        decoder.advance()
    for generation in generations:
        if generation.error is not None:
            raise generation.error
