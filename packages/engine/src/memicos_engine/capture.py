"""Activations at hook points, with no more of the model run than they need."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch

from memicos_engine.errors import Refused
from memicos_engine.hooks import at_residual, by_position, layer_of, residual_layer
from memicos_engine.model import LanguageModel


class _LastNeeded(Exception):
    """Ends the forward pass once the last hook has been reached."""


@torch.inference_mode()
def capture(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, hook_names: Iterable[str]
) -> dict[str, torch.Tensor]:
    """Activations (B, T, D) at each of `hook_names` for `ids` (B, T).

    `mask` (B, T) is 1 at real tokens; rows shorter than T are padded on the right, so that positions need no shift.
    Residual hooks run the plain module, which is equal to the bridge and faster; others go through the bridge.
    Activations of attention heads (B, T, heads, d_head) are given flat; attention patterns are (B, heads, T, T).

    Raises:
        Refused: a hook point that this model's bridge does not run.
    """
    names = list(dict.fromkeys(hook_names))
    layers = {name: layer for name in names if (layer := residual_layer(name)) is not None}
    if len(layers) < len(names):
        return _capture_by_bridge(model, ids, mask, names)
    found = _capture_residuals(model, ids, mask, set(layers.values()))
    return {name: found[layer] for name, layer in layers.items()}


def capture_each(
    model: LanguageModel, prompts: Sequence[Sequence[int]], hook_names: Iterable[str]
) -> list[dict[str, torch.Tensor]]:
    """`capture` for prompts of any length in one run: for each its activations (T, D), patterns (heads, T, T).

    Raises: as `capture`.
    """
    longest = max(len(ids) for ids in prompts)
    ids = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in prompts], device=model.device)
    lengths = torch.tensor([len(ids) for ids in prompts], device=model.device)
    mask = (torch.arange(longest, device=model.device) < lengths[:, None]).long()
    found = capture(model, ids, None if mask.all() else mask, hook_names)
    return [
        {name: hidden[row, :n] if by_position(name) else hidden[row, :, :n, :n] for name, hidden in found.items()}
        for row, n in enumerate(len(ids) for ids in prompts)
    ]


def _capture_residuals(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, layers: set[int]
) -> dict[int, torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    last = max(layers)

    def keep(layer: int, hidden: torch.Tensor) -> None:
        found[layer] = hidden
        if layer == last:
            raise _LastNeeded

    handles = [at_residual(model, layer, partial(keep, layer)) for layer in layers]
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
        if by_position(name) and cache[name].shape[:2] != ids.shape:
            raise Refused(f"Hook '{name}' does not have one vector a position.")
    return {name: cache[name].flatten(2) if by_position(name) else cache[name] for name in names}
