"""Activations at hook points, with no more of the model run than they need."""

from collections.abc import Iterable
from functools import partial

import torch

from memicos_engine.errors import Refused
from memicos_engine.hooks import layer_of, placed
from memicos_engine.model import LanguageModel
from memicos_engine.places import Place


class _LastNeeded(Exception):
    """Ends the forward pass once the last hook has been reached."""


@torch.inference_mode()
def capture(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, hook_names: Iterable[str]
) -> dict[str, torch.Tensor]:
    """Activations (B, T, D) at each of `hook_names` for `ids` (B, T).

    `mask` (B, T) is 1 at real tokens; rows shorter than T are padded on the right, so that positions need no shift.
    Hooks that have a place in the plain module run it, which is equal to the bridge and faster; with any other all go
    through the bridge. Activations of attention heads (B, T, heads, d_head) are given flat.

    Raises:
        Refused: a hook point that this model's bridge does not run.
    """
    names = list(dict.fromkeys(hook_names))
    places = {name: place for name in names if (place := placed(model, name)) is not None}
    if len(places) < len(names):
        return _capture_by_bridge(model, ids, mask, names)
    found = _capture_placed(model, ids, mask, set(places.values()))
    return {name: found[place] for name, place in places.items()}


def _capture_placed(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, places: set[Place]
) -> dict[Place, torch.Tensor]:
    found: dict[Place, torch.Tensor] = {}

    def keep(place: Place, hidden: torch.Tensor) -> None:
        found[place] = hidden
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
        ids, names_filter=names, stop_at_layer=stop, attention_mask=mask, return_type=None
    )
    for name in names:
        if name not in cache:
            raise Refused(f"Hook '{name}' is not run in this model.")
    return {name: cache[name].flatten(2) for name in names}
