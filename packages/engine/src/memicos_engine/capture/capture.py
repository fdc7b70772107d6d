"""Activations at hook points, with no more of the model run than they need."""

import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import DynamicCache

from memicos_engine.capture.batch_stats import BatchStats, StatsCallback, ignore_stats
from memicos_engine.errors import InvalidRequestError
from memicos_engine.generation.kv_cache import supports_row_batching
from memicos_engine.model.hook_modules import HookModule
from memicos_engine.model.hook_points import find_hook_module, has_position_axis, layer_of
from memicos_engine.model.language_model import LanguageModel


class _AllHooksReached(Exception):
    """Ends the forward pass once the last hook has been reached."""


@torch.inference_mode()
def capture(
    model: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    hook_names: Iterable[str],
    at: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Activations (B, T, D) at each of `hook_names` for `ids` (B, T).

    `mask` (B, T) is 1 at real tokens; rows shorter than T are padded on the right, so that positions need no shift.
    With `at` (B,) only one position of each row is kept, (B, 1, D). Hooks that have a place in the plain module run
    it, which is equal to the bridge and faster; with any other all go through the bridge. Activations of attention
    heads (B, T, heads, d_head) are given flat; attention patterns are (B, heads, T, T).

    Raises:
        InvalidRequestError: a hook point that this model's bridge does not run.
    """
    names = list(dict.fromkeys(hook_names))
    if any(find_hook_module(model, name) is None for name in names):
        found = _capture_by_bridge(model, ids, mask, names)
        return {name: _select_positions(hidden, at) for name, hidden in found.items()}
    return _capture_by_modules(model, ids, mask, names, at)


CapturedActivations = list[dict[str, torch.Tensor]]
"""Of each prompt, by hook: activations (T, D), or patterns (heads, T, T)."""


@dataclass(frozen=True)
class CaptureRequest:
    """What is to be captured on prompts of any length. With `last` only at the last position of each, (1, D), and of
    hooks only that have one vector a position."""

    prompts: Sequence[Sequence[int]]
    hook_names: Sequence[str]
    last: bool = False

    @property
    def n_tokens(self) -> int:
        return sum(len(ids) for ids in self.prompts)


def capture_together(model: LanguageModel, wanted: Sequence[CaptureRequest]) -> list[CapturedActivations]:
    """What several want, of prompts of any length, in one run. Raises: as `capture`."""
    *_, found = capture_in_slices(model, wanted, lambda: sys.maxsize)
    assert found is not None
    return found


def capture_in_slices(
    model: LanguageModel, wanted: Sequence[CaptureRequest], most: Callable[[], int], ran: StatsCallback = ignore_stats
) -> Generator[list[CapturedActivations] | None, None, None]:
    """What several want, run up to the deepest hook of any; gives None between slices, at last what was found.

    A slice has at most as many tokens, padding included, as `most` says when it begins: rows of about one length
    together, or a part of a longer row.
    What is not placed in the plain module, and attention patterns, need whole rows.

    Raises: as `capture`.
    """
    names = list(dict.fromkeys(name for one in wanted for name in one.hook_names))
    rows = [(one, ids) for one in wanted for ids in one.prompts]
    found: list[dict[str, torch.Tensor]] = [{} for _ in rows]
    if not names:
        yield [[{} for _ in one.prompts] for one in wanted]
        return
    whole = not can_split_prompts(model, names)
    waiting = sorted(range(len(rows)), key=lambda row: len(rows[row][1]))
    while waiting:
        group = _next_group(waiting, [len(ids) for _, ids in rows], most())
        del waiting[: len(group)]
        lengths = [len(rows[row][1]) for row in group]
        longest = max(lengths)
        ids = torch.tensor([[*rows[row][1], *[0] * (longest - len(rows[row][1]))] for row in group]).to(model.device)
        ends = torch.tensor(lengths, device=model.device)
        mask = (torch.arange(longest, device=model.device) < ends[:, None]).long()
        if longest <= most() or whole:
            at = ends - 1 if all(rows[row][0].last for row in group) else None
            captured = capture(model, ids, None if mask.all() else mask, names, at)
            ran(BatchStats(len(group), sum(lengths), ids.numel()))
        else:
            at, parts = None, []
            cache = DynamicCache(config=model.hf.config)
            done = 0
            while done < longest:
                if parts:
                    yield None
                part = ids[:, done : done + most()]
                done += part.shape[1]
                before = _continuation_inputs(cache, part, done - part.shape[1])
                parts.append(_capture_by_modules(model, part, None, names, None, before))
                ran(BatchStats(len(group), part.numel(), part.numel()))
            captured = {name: torch.cat([part[name] for part in parts], dim=1) for name in names}
        for place, row in enumerate(group):
            n = lengths[place]
            one = rows[row][0]
            for name in one.hook_names:
                hidden = captured[name][place]
                if not has_position_axis(name):
                    hidden = hidden[:, :n, :n]
                elif at is None:
                    hidden = hidden[n - 1 : n] if one.last else hidden[:n]
                found[row][name] = hidden
        if waiting:
            yield None
    each = iter(found)
    yield [[next(each) for _ in one.prompts] for one in wanted]


def can_split_prompts(model: LanguageModel, names: Sequence[str]) -> bool:
    """Whether a row may be run in parts, each seeing the keys and values of those before."""
    return supports_row_batching(model.hf.config) and all(
        has_position_axis(name) and find_hook_module(model, name) for name in names
    )


def _next_group(rows: Sequence[int], lengths: Sequence[int], most: int) -> list[int]:
    """The first of `rows`, by ascending length, that have at most `most` tokens when padded to one length; one at
    least."""
    n = 1
    while n < len(rows) and (n + 1) * lengths[rows[n]] <= most:
        n += 1
    return list(rows[:n])


def _select_positions(hidden: torch.Tensor, at: torch.Tensor | None) -> torch.Tensor:
    return hidden if at is None else hidden[torch.arange(len(hidden), device=hidden.device), at][:, None]


@torch.inference_mode()
def _capture_by_modules(
    model: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    names: Sequence[str],
    at: torch.Tensor | None,
    before: Mapping[str, Any] | None = None,
) -> dict[str, torch.Tensor]:
    """`before` is what `_after` gives for `ids` that are no beginning."""
    by_name = {name: place for name in names if (place := find_hook_module(model, name)) is not None}
    places = set(by_name.values())
    found: dict[HookModule, torch.Tensor] = {}

    def keep(place: HookModule, hidden: torch.Tensor) -> None:
        found[place] = _select_positions(hidden, at)
        if len(found) == len(places):
            raise _AllHooksReached

    handles = [handle for place in places for handle in place.add_hook(partial(keep, place))]
    try:
        model.hf.base_model(input_ids=ids, attention_mask=mask, use_cache=before is not None, **(before or {}))
    except _AllHooksReached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return {name: found[place] for name, place in by_name.items()}


def _continuation_inputs(cache: DynamicCache, ids: torch.Tensor, n: int) -> dict[str, Any]:
    """For `ids` that come after `n` others, whose keys and values `cache` has as far as layers were run."""
    positions = torch.arange(n, n + ids.shape[1], device=ids.device)
    return {"past_key_values": cache, "position_ids": positions.expand(len(ids), -1)}


def _capture_by_bridge(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, names: list[str]
) -> dict[str, torch.Tensor]:
    layers = [layer for name in names if (layer := layer_of(name)) is not None]
    stop = max(layers) + 1 if len(layers) == len(names) else None
    _, cache = model.bridge.run_with_cache(
        ids,
        return_cache_object=False,
        names_filter=names,
        stop_at_layer=stop,
        attention_mask=mask,
        return_type=None,
    )
    for name in names:
        if cache.get(name) is None:
            raise InvalidRequestError(f"Hook '{name}' is not run in this model.")
        if has_position_axis(name) and (cache[name].dim() < 3 or cache[name].shape[:2] != ids.shape):
            raise InvalidRequestError(f"Hook '{name}' does not have one vector a position.")
    return {name: cache[name].flatten(2) if has_position_axis(name) else cache[name] for name in names}
