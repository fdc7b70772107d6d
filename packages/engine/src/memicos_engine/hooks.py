"""Hook points: TransformerLens' names, where they are in the wrapped module, which can be captured and steered."""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from memicos_engine.errors import Refused
from memicos_engine.model import LanguageModel

STEERABLE = ("blocks.N.hook_resid_pre", "blocks.N.hook_resid_post")
_RESIDUAL = re.compile(r"blocks\.(\d{1,4})\.hook_resid_(pre|post)")
_LAYER = re.compile(r"blocks\.(\d{1,4})\.")
_NOT_BY_POSITION = re.compile(r"pattern|attn_scores|hook_rot_|hook_cos|hook_sin")
"""Hook points whose activations are not one vector a position."""


def steerable(model: LanguageModel) -> tuple[str, ...]:
    """Names of the hook points that can be steered, N being a layer."""
    del model  # the residual stream can be steered in every model
    return STEERABLE


def layer_of(hook_name: str) -> int | None:
    """N of `blocks.N.…`, else None."""
    found = _LAYER.match(hook_name)
    return None if found is None else int(found.group(1))


def residual_layer(hook_name: str) -> int | None:
    """Layer whose output a residual hook is: N for `blocks.N.hook_resid_post`, N-1 for `resid_pre`, else None.

    -1 means the embeddings.
    """
    found = _RESIDUAL.fullmatch(hook_name)
    return None if found is None else int(found.group(1)) - (found.group(2) == "pre")


def steered_layer(model: LanguageModel, hook_name: str) -> int:
    """`residual_layer` of a hook that can be steered; raises Refused for another."""
    check_layer(model, hook_name)
    layer = residual_layer(hook_name)
    if layer is None:
        raise Refused(f"Hook '{_shown(hook_name)}' cannot be steered; {' and '.join(STEERABLE)} can, N being a layer.")
    return layer


def check_layer(model: LanguageModel, hook_name: str) -> None:
    """Raises Refused where the hook names a layer that the model lacks."""
    layer = layer_of(hook_name)
    if layer is not None and layer >= model.n_layers:
        raise Refused(f"Hook '{_shown(hook_name)}': the model has layers 0 to {model.n_layers - 1}.")


def check_captured(model: LanguageModel, hook_name: str) -> None:
    """Raises Refused where there is no such hook point, or nothing at each position of it."""
    check_layer(model, hook_name)
    if residual_layer(hook_name) is not None:
        return
    if hook_name not in model.bridge.hook_dict:
        raise Refused(
            f"Unknown hook '{_shown(hook_name)}'. Hooks have TransformerLens' names, for example "
            "blocks.0.hook_resid_post, blocks.0.hook_mlp_out, blocks.0.mlp.hook_post or blocks.0.attn.hook_z."
        )
    if not by_position(hook_name):
        raise Refused(f"Hook '{hook_name}' does not have one vector a position.")


def by_position(hook_name: str) -> bool:
    """Whether there is one vector a position at the hook, as in all but a few inside attention."""
    return _NOT_BY_POSITION.search(hook_name) is None


def check_width(hook_name: str, what: str, given: int, width: int) -> None:
    """Raises Refused where `what` has another width than the activations at the hook."""
    if given != width:
        raise Refused(f"{what} has {given} numbers; activations at {_shown(hook_name)} have {width}.")


def at_residual(
    model: LanguageModel, layer: int, visit: Callable[[torch.Tensor], torch.Tensor | None]
) -> RemovableHandle:
    """Call `visit` with the residual stream (B, T, D) after `layer` (-1: the embeddings) whenever the model runs.

    What it returns, unless None, takes the stream's place. The caller removes the handle.
    """
    if layer < 0:
        return model.blocks[0].register_forward_pre_hook(_before(visit), with_kwargs=True)
    return model.blocks[layer].register_forward_hook(_after(visit))


def _before(visit: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[..., Any]:
    def hook(_block: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        new = visit(args[0] if args else kwargs["hidden_states"])
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    return hook


def _after(visit: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[..., Any]:
    def hook(_block: torch.nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return visit(output)
        new = visit(output[0])  # blocks of some architectures give a tuple
        return None if new is None else (new, *output[1:])

    return hook


def _shown(hook_name: str) -> str:
    return hook_name if len(hook_name) <= 80 else f"{hook_name[:80]}…"
