"""Hook points by TransformerLens' names: which can be captured and steered in a model, and where."""

import re

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.hook_modules import RESIDUAL_HOOKS, STEERABLE_HOOKS, HookModule, residual_stream
from memicos_engine.model.language_model import LanguageModel

_RESIDUAL = re.compile(r"blocks\.(\d{1,4})\.hook_resid_(pre|post)")
_LAYER = re.compile(r"blocks\.(\d{1,4})\.")
_NOT_BY_POSITION = re.compile(r"pattern|attn_scores|hook_rot_|hook_cos|hook_sin")
"""Hook points whose activations are not one vector a position."""


def steerable_hooks(model: LanguageModel) -> tuple[str, ...]:
    """Names of the hook points that can be steered, N being any layer; what only some layers have is named for each."""
    names = [f"blocks.N.{name}" for name in RESIDUAL_HOOKS]
    for name in STEERABLE_HOOKS:
        there = [
            full for layer in range(model.n_layers) if (full := f"blocks.{layer}.{name}") in model.hook_modules.by_name
        ]
        names += [f"blocks.N.{name}"] if len(there) == model.n_layers else there
    return tuple(names)


def unsteerable_hooks(model: LanguageModel) -> dict[str, str]:
    """Why the others of a block's hook points cannot be steered in this model; N as in `steerable`."""
    refused: dict[str, str] = {}
    for name in STEERABLE_HOOKS:
        every = (f"blocks.{layer}.{name}" for layer in range(model.n_layers))
        reasons = {
            full: model.hook_modules.unavailable[full] for full in every if full in model.hook_modules.unavailable
        }
        if len(reasons) == model.n_layers and len(set(reasons.values())) == 1:
            reasons = {f"blocks.N.{name}": next(iter(reasons.values()))}
        refused |= reasons
    return refused


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


def find_hook_module(model: LanguageModel, hook_name: str) -> HookModule | None:
    """Where a hook point of a layer that the model has is in `model.hf`; None where only the bridge has it."""
    layer = residual_layer(hook_name)
    if layer is not None:
        return residual_stream(model.blocks, layer)
    found = model.hook_modules.by_name.get(hook_name)
    return None if found is None else found[0]


def hook_width(model: LanguageModel, hook_name: str) -> int | None:
    """Width of the activations at a hook in the plain module; None where only the bridge has the hook."""
    if residual_layer(hook_name) is not None:
        return model.d_model
    module = model.hook_modules.by_name.get(hook_name)
    return None if module is None else module[1]


def steering_module(model: LanguageModel, hook_name: str) -> tuple[HookModule, int]:
    """Place and width of a hook that can be steered; raises InvalidRequestError for another."""
    check_layer(model, hook_name)
    layer = residual_layer(hook_name)
    if layer is not None:
        return residual_stream(model.blocks, layer), model.d_model
    found = model.hook_modules.by_name.get(hook_name)
    if found is None or _LAYER.sub("", hook_name) not in STEERABLE_HOOKS:
        reason = model.hook_modules.unavailable.get(hook_name)
        raise InvalidRequestError(
            f"Hook '{_abbreviated(hook_name)}' cannot be steered{f' ({reason})' if reason else ''}; "
            f"{', '.join(steerable_hooks(model))} can, N being a layer."
        )
    return found


def check_layer(model: LanguageModel, hook_name: str) -> None:
    """Raises InvalidRequestError where the hook names a layer that the model lacks."""
    layer = layer_of(hook_name)
    if layer is not None and layer >= model.n_layers:
        raise InvalidRequestError(f"Hook '{_abbreviated(hook_name)}': the model has layers 0 to {model.n_layers - 1}.")


def check_capturable(model: LanguageModel, hook_name: str) -> None:
    """Raises InvalidRequestError where there is no such hook point, or nothing at each position of it."""
    check_layer(model, hook_name)
    if find_hook_module(model, hook_name) is not None:
        return
    if hook_name not in model.bridge.hook_dict:
        raise InvalidRequestError(
            f"Unknown hook '{_abbreviated(hook_name)}'. Hooks have TransformerLens' names, for example "
            "blocks.0.hook_resid_post, blocks.0.hook_mlp_out, blocks.0.mlp.hook_post or blocks.0.attn.hook_z."
        )
    if not has_position_axis(hook_name):
        raise InvalidRequestError(f"Hook '{hook_name}' does not have one vector a position.")


def has_position_axis(hook_name: str) -> bool:
    """Whether there is one vector a position at the hook, as in all but a few inside attention."""
    return _NOT_BY_POSITION.search(hook_name) is None


def check_width(hook_name: str, what: str, given: int, width: int) -> None:
    """Raises InvalidRequestError where `what` has another width than the activations at the hook."""
    if given != width:
        raise InvalidRequestError(f"{what} has {given} numbers; activations at {_abbreviated(hook_name)} have {width}.")


def _abbreviated(hook_name: str) -> str:
    return hook_name if len(hook_name) <= 80 else f"{hook_name[:80]}…"
