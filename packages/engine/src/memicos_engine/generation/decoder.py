"""Generations written together: one batch, in which rows join and leave between steps.

Prompts are first run on their own, in slices where others are being written; then their rows go on in the batch by a
token a step. Every run gets mask and positions: transformers derives them in `generate` only.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Cache, DynamicCache

from memicos_engine.capture.batch_stats import Ran, Slice, uncounted
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.generation import Generation, Row, cache_bytes
from memicos_engine.generation.kv_cache import AlignedCache, LoneCache, RowCache, alignable, cache_nbytes
from memicos_engine.generation.steering import steered
from memicos_engine.model.language_model import LanguageModel


@dataclass
class _Live:
    """A row of the batch."""

    generation: Generation
    row: int


@dataclass
class _Prompts:
    """Rows whose prompts (B, T), padded on the left, have been run up to column `done`."""

    rows: list[_Live]
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
        self._shared = alignable(model.hf.config)
        self._cache: RowCache = AlignedCache(model.hf.config, model.device) if self._shared else LoneCache(model.device)
        self._waiting: list[Generation] = []
        self._prompts: _Prompts | None = None
        self._live: list[_Live] = []

    @property
    def generations(self) -> list[Generation]:
        """Those that have joined, and neither are done nor have left."""
        rows = [*self._live, *(self._prompts.rows if self._prompts else [])]
        there = dict.fromkeys([*(one.generation for one in rows), *self._waiting])
        return [one for one in there if not one.done]

    @property
    def n_live(self) -> int:
        """Rows in the batch."""
        return len(self._live)

    @property
    def live(self) -> list[Generation]:
        """Those with rows in the batch."""
        return list(dict.fromkeys(one.generation for one in self._live))

    @property
    def cache_nbytes(self) -> int:
        """Memory of keys and values now. May be read from any thread."""
        prompts = self._prompts
        return cache_nbytes(self._cache.cache) + (cache_nbytes(prompts.cache) if prompts else 0)

    @property
    def has_prompts(self) -> bool:
        return bool(self._waiting) or self._prompts is not None

    @property
    def prompted(self) -> list[Generation]:
        """Those whose prompts are being run, or wait to be."""
        running = self._prompts.rows if self._prompts else []
        return list(dict.fromkeys(one.generation for one in running)) or list(self._waiting)

    def fits(self, new: Generation) -> bool:
        """Whether it may join now."""
        there = [*self.generations, new]
        if len(there) == 1:
            return True
        rows = [(one, row) for one in there for row in one.open_rows]
        n_rows = len(rows)
        if not self._shared or n_rows > self._max_rows:
            return False
        # the longest row so far need not be the one that has most to come
        so_far = max(len(one.rows[row].ids) + len(one.ids[row]) for one, row in rows)
        to_come = max(one.n_tokens - len(one.ids[row]) for one, row in rows)
        return cache_bytes(self._model, n_rows, so_far + to_come) <= self._kv_bytes

    def join(self, new: Generation) -> None:
        self._waiting.append(new)

    @torch.inference_mode()
    def leave(self, gone: Generation) -> None:
        """It is written no further; its rows in the batch are free at once."""
        gone.stopped = True
        if gone in self._waiting:
            self._waiting.remove(gone)
        if self._prompts and all(one.generation.done for one in self._prompts.rows):
            self._prompts = None
        for place in reversed(range(len(self._live))):
            if self._live[place].generation is gone:
                self._remove(place)

    @torch.inference_mode()
    def prefill(self, most: int, ran: Ran = uncounted) -> list[Generation]:
        """Run a slice of at most `most` tokens, padding included, of prompts; one column at least.

        Gives those that have their first tokens now.
        """
        if self._prompts is None:
            self._prompts = self._next_prompts(most)
        now = self._prompts
        end = now.ids.shape[1]
        if self._shared:
            end = min(end, now.done + max(1, most // len(now.ids)))
        columns = slice(now.done, end)
        where = None if now.where is None else now.where[:, columns]
        with steered([one.generation.changes[one.row] for one in now.rows], where):
            output = self._model.hf(
                input_ids=now.ids[:, columns],
                attention_mask=now.mask[:, :end],
                position_ids=(now.mask[:, :end].cumsum(-1) - 1).clamp(min=0)[:, columns],
                past_key_values=now.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        ran(Slice(len(now.ids), sum(max(0, end - max(now.done, pad)) for pad in now.pads), now.ids[:, columns].numel()))
        now.done = end
        if end < now.ids.shape[1]:
            return []
        exact = output.logits[:, -1].float().cpu()
        first = len(self._live)
        self._cache.add(now.cache, now.mask.sum(-1).tolist())
        # not before what may find no memory: until then they are prompts, to whoever asks
        self._prompts = None
        self._live += now.rows
        return self._accept(first, exact)

    @torch.inference_mode()
    def step(self) -> list[Generation]:
        """Write one token in every row of the batch. Gives those that have got one."""
        tokens = [one.generation.ids[one.row][-1] for one in self._live]
        device = self._model.device
        mask = self._cache.begin()
        with steered([one.generation.changes[one.row] for one in self._live]):
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
        return self.prefill(sys.maxsize) if self.has_prompts else self.step()

    def _next_prompts(self, most: int) -> _Prompts:
        """Of those that wait in turn, as many as are run in `most` tokens when padded to one length; one at least."""
        chosen: list[Generation] = []
        for one in self._waiting:
            rows = _open([*chosen, one])
            if chosen and len(rows) * max(len(row.ids) for row in rows) > most:
                break
            chosen.append(one)
        rows = _open(chosen)
        longest = max(len(row.ids) for row in rows)
        pads = [longest - len(row.ids) for row in rows]
        device = self._model.device
        where = None
        if any(row.mask is not None for row in rows):
            steered_at = [row.mask if row.mask is not None else [True] * len(row.ids) for row in rows]
            where = _padded(steered_at, pads, device).bool()
        prompts = _Prompts(
            rows=[_Live(one, row) for one in chosen for row in one.open_rows],
            pads=pads,
            ids=_padded([row.ids for row in rows], pads, device),
            mask=_padded([[1] * len(row.ids) for row in rows], pads, device),
            where=where,
            cache=DynamicCache(config=self._model.hf.config),
        )
        del self._waiting[: len(chosen)]
        return prompts

    def _accept(self, first: int, exact: torch.Tensor) -> list[Generation]:
        """Let the rows of the batch from `first` on go on after logits (rows, V); what is done leaves the batch."""
        rows = self._live[first:]
        for one, here in zip(rows, exact, strict=True):
            if not one.generation.done:
                try:
                    one.generation.accept(one.row, here)
                except InvalidRequestError as error:
                    one.generation.error = error
        for place in reversed(range(first, len(self._live))):
            one = self._live[place]
            if one.generation.done or one.generation.ended[one.row] is not None:
                self._remove(place)
        return list(dict.fromkeys(one.generation for one in rows))

    def _remove(self, place: int) -> None:
        """Of the batch; the last row takes its place."""
        self._cache.remove(place)
        last = self._live.pop()
        if place < len(self._live):
            self._live[place] = last


def _open(generations: Sequence[Generation]) -> list[Row]:
    return [one.rows[row] for one in generations for row in one.open_rows]


def _padded(rows: Sequence[Sequence[int] | Sequence[bool]], pads: Sequence[int], device: torch.device) -> torch.Tensor:
    """Rows of one length, zeros on the left."""
    return torch.tensor([[0] * pad + [int(one) for one in row] for row, pad in zip(rows, pads, strict=True)]).to(device)


def alone(model: LanguageModel, *generations: Generation) -> Decoder:
    """A decoder that these have joined, with room for them."""
    decoder = Decoder(model, sum(len(one.rows) for one in generations), kv_bytes=0)
    for one in generations:
        decoder.join(one)
    return decoder


def write(model: LanguageModel, *generations: Generation) -> None:
    """Write them to their end. Raises InvalidRequestError where one cannot go on."""
    decoder = alone(model, *generations)
    while decoder.generations:
        decoder.advance()
    for one in generations:
        if one.error is not None:
            raise one.error
