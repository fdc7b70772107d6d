"""Capture activations at hook points. The forward pass ends at the deepest hook."""

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
from memicos_engine.model.hook_points import find_hook_module, has_position_axis, hook_width, layer_of
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.model.length_dependent_rope import text_lengths


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
    With `at` (B,) only that position of each row is kept, (B, 1, D). Where every hook is a module of the plain model
    that model is run, else TransformerLens' bridge, which gives the same and takes longer; hooks that the bridge does
    not have are then captured in a run of the plain model. Activations of attention heads (B, T, heads, d_head) are
    flattened to (B, T, heads * d_head); attention patterns are (B, heads, T, T).

    Raises:
        InvalidRequestError: a hook point that this model's bridge does not run.
    """
    names = list(dict.fromkeys(hook_names))
    lengths = None if mask is None else mask.sum(-1)
    if lengths is not None and not model.batches_prompts:
        return _capture_row_by_row(model, ids, lengths.tolist(), names, at)
    if all(find_hook_module(model, name) for name in names):
        return _capture_by_modules(model, ids, mask, names, at, lengths)
    # the bridge has no hook points by module name
    by_bridge = [name for name in names if name in model.bridge.hook_dict or find_hook_module(model, name) is None]
    by_module = [name for name in names if name not in by_bridge]
    captured = _capture_by_bridge(model, ids, mask, by_bridge, lengths)
    captured = {name: _select_positions(hidden, at) for name, hidden in captured.items()}
    return captured | (_capture_by_modules(model, ids, mask, by_module, at, lengths) if by_module else {})


def _capture_row_by_row(
    model: LanguageModel, ids: torch.Tensor, lengths: Sequence[int], names: Sequence[str], at: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """As `capture` for rows of `lengths` tokens, each run without its padding; zeros take the place of padding."""
    rows: list[dict[str, torch.Tensor]] = []
    for row, n in enumerate(lengths):
        captured = capture(model, ids[row : row + 1, :n], None, names, None if at is None else at[row : row + 1])
        missing = 0 if at is not None else ids.shape[1] - n
        for name, hidden in captured.items():
            widths = (0, 0, 0, missing) if has_position_axis(name) else (0, missing, 0, missing)
            captured[name] = torch.nn.functional.pad(hidden, widths)
        rows.append(captured)
    return {name: torch.cat([captured[name] for captured in rows]) for name in names}


CapturedActivations = list[dict[str, torch.Tensor]]
"""One dict per prompt, by hook point: activations (T, D), or attention patterns (heads, T, T)."""


@dataclass(frozen=True)
class CaptureRequest:
    """Hook points to capture on prompts of any length.

    With `last` only the last position of each prompt is kept, (1, D); then every hook has one vector per position.
    """

    prompts: Sequence[Sequence[int]]
    hook_names: Sequence[str]
    last: bool = False

    @property
    def n_tokens(self) -> int:
        return sum(len(ids) for ids in self.prompts)


def capture_nbytes(model: LanguageModel, requests: Sequence[CaptureRequest]) -> int:
    """Memory of the activations of `requests` captured together: every prompt at the hooks of all requests.

    Exact for hooks in the plain module. For hooks that only the bridge runs it is an upper bound: their width is not
    known before the run, so the model's largest width is assumed, at every position, because the bridge keeps all.
    """
    names = list(dict.fromkeys(name for request in requests for name in request.hook_names))
    config = model.hf.config.get_text_config(decoder=True)
    largest = max(model.d_model, getattr(config, "intermediate_size", None) or 4 * model.d_model)
    total = 0
    for request in requests:
        bridged = any(find_hook_module(model, name) is None for name in request.hook_names)
        positions = len(request.prompts) if request.last and not bridged else request.n_tokens
        for name in names:
            if has_position_axis(name):
                total += positions * (hook_width(model, name) or largest)
            else:
                total += config.num_attention_heads * sum(len(ids) ** 2 for ids in request.prompts)
    return total * model.dtype.itemsize


def capture_together(model: LanguageModel, requests: Sequence[CaptureRequest]) -> list[CapturedActivations]:
    """Results of several requests from one run of the model. Raises: as `capture`."""
    *_, results = capture_in_slices(model, requests, lambda: sys.maxsize)
    assert results is not None
    return results


def capture_in_slices(
    model: LanguageModel,
    requests: Sequence[CaptureRequest],
    max_tokens: Callable[[], int],
    on_batch: StatsCallback = ignore_stats,
) -> Generator[list[CapturedActivations] | None, None, None]:
    """Run the model up to the deepest hook of all requests; yields None between slices, the results at the end.

    A slice has at most `max_tokens()` tokens, padding included; `max_tokens` is called when the slice begins. It holds
    prompts of about one length, or a part of a longer prompt. Hooks outside the plain module, and attention patterns,
    need whole prompts.

    Raises: as `capture`.
    """
    names = list(dict.fromkeys(name for request in requests for name in request.hook_names))
    rows = [(request, ids) for request in requests for ids in request.prompts]
    results: list[dict[str, torch.Tensor]] = [{} for _ in rows]
    if not names:
        yield [[{} for _ in request.prompts] for request in requests]
        return
    whole_prompts = not can_split_prompts(model, names)
    # prompts of which only the last position is kept are run apart from others: a group keeps the same of each row
    waiting = sorted(range(len(rows)), key=lambda row: (rows[row][0].last, len(rows[row][1])))
    while waiting:
        last = rows[waiting[0]][0].last
        group = _next_group([row for row in waiting if rows[row][0].last == last], rows, max_tokens())
        if not model.batches_prompts:
            group = group[:1]
        del waiting[: len(group)]
        lengths = [len(rows[row][1]) for row in group]
        longest = max(lengths)
        ids = torch.tensor([[*rows[row][1], *[0] * (longest - len(rows[row][1]))] for row in group]).to(model.device)
        ends = torch.tensor(lengths, device=model.device)
        mask = (torch.arange(longest, device=model.device) < ends[:, None]).long()
        if longest <= max_tokens() or whole_prompts:
            captured = capture(model, ids, None if mask.all() else mask, names, ends - 1 if last else None)
            on_batch(BatchStats(len(group), sum(lengths), ids.numel()))
        else:
            captured = yield from _capture_in_parts(model, ids, ends, names, last, max_tokens, on_batch)
        for index, row in enumerate(group):
            n = lengths[index]
            for name in rows[row][0].hook_names:
                hidden = captured[name][index]
                if not has_position_axis(name):
                    hidden = hidden[:, :n, :n]
                elif not last:
                    hidden = hidden[:n]
                results[row][name] = hidden
        if waiting:
            yield None
    by_row = iter(results)
    yield [[next(by_row) for _ in request.prompts] for request in requests]


def _capture_in_parts(
    model: LanguageModel,
    ids: torch.Tensor,
    ends: torch.Tensor,
    names: Sequence[str],
    last: bool,
    max_tokens: Callable[[], int],
    on_batch: StatsCallback,
) -> Generator[None, None, dict[str, torch.Tensor]]:
    """As `capture` for `ids` (B, T), of which rows end at `ends` (B,), some columns at a time; yields in between.

    A part attends to the keys and values of those before it. With `last` only the rows' last positions are kept.
    """
    parts: list[dict[str, torch.Tensor]] = []
    rows: list[torch.Tensor] = []
    cache = DynamicCache(config=model.hf.config)
    done = 0
    while done < ids.shape[1]:
        if done:
            yield None
        part = ids[:, done : done + max_tokens()]
        columns = torch.arange(done, done + part.shape[1], device=ids.device)
        position: Positions = None
        if last:
            position = ((ends - 1)[:, None] == columns).nonzero(as_tuple=True)
            rows.append(position[0])
        inputs = _continuation_inputs(cache, part, done)
        parts.append(_capture_by_modules(model, part, None, names, position, ends, inputs))
        on_batch(BatchStats(len(part), part.numel(), part.numel()))
        done += part.shape[1]
    if not last:
        return {name: torch.cat([part[name] for part in parts], dim=1) for name in names}
    order = torch.cat(rows).argsort()
    return {name: torch.cat([part[name] for part in parts])[order] for name in names}


def can_split_prompts(model: LanguageModel, names: Sequence[str]) -> bool:
    """Whether a prompt may be run in parts, each attending to the keys and values of the parts before it."""
    return (
        model.splits_prompts
        and supports_row_batching(model.hf.config)
        and all(has_position_axis(name) and find_hook_module(model, name) for name in names)
    )


def _next_group(
    candidates: Sequence[int], rows: Sequence[tuple[CaptureRequest, Sequence[int]]], max_tokens: int
) -> list[int]:
    """The first `candidates`, by ascending length, whose padded size is at most `max_tokens`; at least one."""
    n = 1
    while n < len(candidates) and (n + 1) * len(rows[candidates[n]][1]) <= max_tokens:
        n += 1
    return list(candidates[:n])


Positions = torch.Tensor | tuple[torch.Tensor, ...] | None
"""Which activations of (B, T, D) are kept. None: all. A tensor (B,): one position of each row, (B, 1, D). A pair of
index tensors (N,) of rows and positions: those, (N, 1, D)."""


def _select_positions(hidden: torch.Tensor, positions: Positions) -> torch.Tensor:
    if positions is None:
        return hidden
    if isinstance(positions, torch.Tensor):
        positions = (torch.arange(len(hidden), device=hidden.device), positions)
    return hidden[positions][:, None]


@torch.inference_mode()
def _capture_by_modules(
    model: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    names: Sequence[str],
    positions: Positions,
    lengths: torch.Tensor | None,
    inputs: Mapping[str, Any] | None = None,
) -> dict[str, torch.Tensor]:
    """As `capture`, for hooks in the plain module.

    `lengths` (B,) are those of the whole prompts, None if `ids` are whole and not padded. `inputs` continues a prompt:
    see `_continuation_inputs`.
    """
    by_name = {name: module for name in names if (module := find_hook_module(model, name)) is not None}
    modules = set(by_name.values())
    captured: dict[HookModule, torch.Tensor] = {}

    def keep(module: HookModule, hidden: torch.Tensor) -> None:
        captured[module] = _select_positions(hidden, positions)
        if len(captured) == len(modules):
            raise _AllHooksReached

    handles = [handle for module in modules for handle in module.add_hook(partial(keep, module))]
    try:
        with text_lengths(lengths):
            model.hf.base_model(input_ids=ids, attention_mask=mask, use_cache=inputs is not None, **(inputs or {}))
    except _AllHooksReached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if skipped := [name for name, module in by_name.items() if module not in captured]:
        # Mllama runs its blocks with cross-attention only where there is an image
        raise ValueError(f"{type(model.hf).__name__} does not run the module of {skipped[0]} on a text")
    return {name: captured[module] for name, module in by_name.items()}


def _continuation_inputs(cache: DynamicCache, ids: torch.Tensor, n: int) -> dict[str, Any]:
    """Model inputs for `ids` (B, T) that follow `n` tokens, whose keys and values are in `cache`."""
    positions = torch.arange(n, n + ids.shape[1], device=ids.device)
    return {"past_key_values": cache, "position_ids": positions.expand(len(ids), -1)}


def _capture_by_bridge(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, names: list[str], lengths: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    layers = [layer for name in names if (layer := layer_of(name)) is not None]
    stop = max(layers) + 1 if len(layers) == len(names) else None
    bridge = model.bridge
    with text_lengths(lengths):
        _, cache = bridge.run_with_cache(
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
            raise InvalidRequestError(f"Hook '{name}' does not have one vector per position.")
    return {name: cache[name].flatten(2) if has_position_axis(name) else cache[name] for name in names}
