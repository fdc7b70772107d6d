"""Activations at hook points, with no more of the model run than they need."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch

from memicos_engine.errors import Refused
from memicos_engine.hooks import by_position, layer_of, placed
from memicos_engine.model import LanguageModel
from memicos_engine.places import Place


class _LastNeeded(Exception):
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
        Refused: a hook point that this model's bridge does not run.
    """
    names = list(dict.fromkeys(hook_names))
    places = {name: place for name in names if (place := placed(model, name)) is not None}
    if len(places) < len(names):
        found = _capture_by_bridge(model, ids, mask, names)
        return {name: _only(hidden, at) for name, hidden in found.items()}
    by_place = _capture_placed(model, ids, mask, set(places.values()), at)
    return {name: by_place[place] for name, place in places.items()}


def capture_each(
    model: LanguageModel, prompts: Sequence[Sequence[int]], hook_names: Iterable[str], last: bool = False
) -> list[dict[str, torch.Tensor]]:
    """`capture` for prompts of any length in one run: for each its activations (T, D), patterns (heads, T, T).

    With `last` only those at its last position, (1, D), and of hooks only that have one vector a position.

    Raises: as `capture`.
    """
    lengths = [len(ids) for ids in prompts]
    ids = torch.tensor([[*ids, *[0] * (max(lengths) - len(ids))] for ids in prompts], device=model.device)
    ends = torch.tensor(lengths, device=model.device)
    mask = (torch.arange(ids.shape[1], device=model.device) < ends[:, None]).long()
    found = capture(model, ids, None if mask.all() else mask, hook_names, ends - 1 if last else None)
    return [
        {name: hidden[row, :n] if by_position(name) else hidden[row, :, :n, :n] for name, hidden in found.items()}
        for row, n in enumerate(lengths)
    ]


def _only(hidden: torch.Tensor, at: torch.Tensor | None) -> torch.Tensor:
    return hidden if at is None else hidden[torch.arange(len(hidden), device=hidden.device), at][:, None]


def _capture_placed(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, places: set[Place], at: torch.Tensor | None
) -> dict[Place, torch.Tensor]:
    found: dict[Place, torch.Tensor] = {}

    def keep(place: Place, hidden: torch.Tensor) -> None:
        found[place] = _only(hidden, at)
        if len(found) == len(places):
            raise _LastNeeded

    handles = [handle for place in places for handle in place.attach(partial(keep, place))]
    try:
        model.hf.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    except _LastNeeded:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


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
            raise Refused(f"Hook '{name}' is not run in this model.")
        if by_position(name) and (cache[name].dim() < 3 or cache[name].shape[:2] != ids.shape):
            raise Refused(f"Hook '{name}' does not have one vector a position.")
    return {name: cache[name].flatten(2) if by_position(name) else cache[name] for name in names}
