"""Activations at hook points, with no more of the model run than they need."""

import re
from collections.abc import Iterable
from typing import Any

import torch

from memicos_engine.model import LanguageModel

_RESIDUAL = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")
_LAYER = re.compile(r"blocks\.(\d+)\.")


class _LastNeeded(Exception):
    """Ends the forward pass once the last hook has been reached."""


def residual_layer(hook_name: str) -> int | None:
    """Layer whose output a residual hook is: N for `blocks.N.hook_resid_post`, N-1 for `resid_pre`, else None.

    -1 means the embeddings.
    """
    found = _RESIDUAL.fullmatch(hook_name)
    return None if found is None else int(found.group(1)) - (found.group(2) == "pre")


@torch.inference_mode()
def capture(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, hook_names: Iterable[str]
) -> dict[str, torch.Tensor]:
    """Activations (B, T, D) at each of `hook_names` for `ids` (B, T).

    `mask` (B, T) is 1 at real tokens; rows shorter than T are padded on the right, so that positions need no shift.
    Residual hooks run the wrapped module, which is equal to the bridge and faster; others go through the bridge.
    """
    names = list(dict.fromkeys(hook_names))
    layers = {name: residual_layer(name) for name in names}
    if any(layer is None or layer < 0 for layer in layers.values()):
        return _capture_by_bridge(model, ids, mask, names)
    wanted = {layer: name for name, layer in layers.items() if layer is not None}
    found = _capture_residuals(model, ids, mask, set(wanted))
    return {name: found[layer] for name, layer in layers.items() if layer is not None}


def decoder_layers(model: LanguageModel) -> torch.nn.ModuleList:
    """The transformer blocks of the wrapped module, in order."""
    blocks = model.bridge.blocks
    return blocks if isinstance(blocks, torch.nn.ModuleList) else torch.nn.ModuleList(blocks)


def _capture_residuals(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor | None, layers: set[int]
) -> dict[int, torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    last = max(layers)
    blocks = decoder_layers(model)

    def keep(layer: int) -> Any:
        def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            found[layer] = output if isinstance(output, torch.Tensor) else output[0]
            if layer == last:
                raise _LastNeeded

        return hook

    handles = [blocks[layer].register_forward_hook(keep(layer)) for layer in layers]
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
    layers = [int(found.group(1)) for name in names if (found := _LAYER.match(name))]
    stop = max(layers) + 1 if len(layers) == len(names) else None
    _, cache = model.bridge.run_with_cache(
        ids, names_filter=names, stop_at_layer=stop, attention_mask=mask, return_type=None
    )
    return {name: cache[name] for name in names}
