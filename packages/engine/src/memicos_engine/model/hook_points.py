"""Hook points by TransformerLens' names: which a model can capture and steer, and their modules."""

import re

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.hook_modules import RESIDUAL_HOOKS, STEERABLE_HOOKS, HookModule, residual_stream
from memicos_engine.model.language_model import LanguageModel

_RESIDUAL = re.compile(r"blocks\.([0-9]{1,4})\.hook_resid_(pre|post)")
_LAYER = re.compile(r"blocks\.([0-9]{1,4})\.")
_NOT_BY_POSITION = re.compile(r"pattern|attn_scores|hook_rot_|hook_cos|hook_sin")
"""Hook points whose activations are not one vector per position."""


def steerable_hooks(model: LanguageModel) -> tuple[str, ...]:
    """Names of the hook points that can be steered: `blocks.N.…` for any layer N, or one name per layer that has it."""
    names = [f"blocks.N.{name}" for name in RESIDUAL_HOOKS]
    for name in STEERABLE_HOOKS:
        available = [
            full for layer in range(model.n_layers) if (full := f"blocks.{layer}.{name}") in model.hook_modules.by_name
        ]
        names += [f"blocks.N.{name}"] if len(available) == model.n_layers else available
    return tuple(names)


def unsteerable_hooks(model: LanguageModel) -> dict[str, str]:
    """The reason for each hook point of a block that cannot be steered in this model; N as in `steerable_hooks`."""
    refused: dict[str, str] = {}
    for name in STEERABLE_HOOKS:
        names = (f"blocks.{layer}.{name}" for layer in range(model.n_layers))
        reasons = {
            hook: model.hook_modules.unavailable[hook] for hook in names if hook in model.hook_modules.unavailable
        }
        if len(reasons) == model.n_layers and len(set(reasons.values())) == 1:
            reasons = {f"blocks.N.{name}": next(iter(reasons.values()))}
        refused |= reasons
    return refused


def layer_of(hook_name: str) -> int | None:
    """N of `blocks.N.…`, else None."""
    match = _LAYER.match(hook_name)
    return None if match is None else int(match.group(1))


def residual_layer(hook_name: str) -> int | None:
    """The layer whose output is at a residual hook: N for `blocks.N.hook_resid_post`, N-1 for `resid_pre`, else None.

    -1 means the embeddings.
    """
    match = _RESIDUAL.fullmatch(hook_name)
    return None if match is None else int(match.group(1)) - (match.group(2) == "pre")


def find_hook_module(model: LanguageModel, hook_name: str) -> HookModule | None:
    """The module of `model.hf` for a hook point of an existing layer; None if only the bridge has the hook point."""
    layer = residual_layer(hook_name)
    if layer is not None:
        return residual_stream(model.blocks, layer)
    entry = _hook_module(model, hook_name)
    return None if entry is None else entry[0]


def hook_width(model: LanguageModel, hook_name: str) -> int | None:
    """Width of the activations at a hook point in the plain model; None if only the bridge has the hook point."""
    if residual_layer(hook_name) is not None:
        return model.d_model
    entry = _hook_module(model, hook_name)
    return None if entry is None else entry[1]


def _hook_module(model: LanguageModel, hook_name: str) -> tuple[HookModule, int] | None:
    """Module and width of a hook point outside the residual stream, by TransformerLens' name or a module's path."""
    modules = model.hook_modules
    return modules.by_name.get(hook_name) or modules.by_path.get(hook_name)


def _steerable_alias(model: LanguageModel, hook_name: str) -> str:
    """The steerable hook point that is the same side of the same module as `hook_name`, else `hook_name`."""
    named = _hook_module(model, hook_name)
    if named is None or _LAYER.sub("", hook_name) in STEERABLE_HOOKS:
        return hook_name
    module = (named[0].module, named[0].side)
    aliases = (
        full
        for name in STEERABLE_HOOKS
        if (entry := model.hook_modules.by_name.get(full := f"blocks.{layer_of(hook_name)}.{name}"))
        and (entry[0].module, entry[0].side) == module
    )
    return next(aliases, hook_name)


def steering_module(model: LanguageModel, hook_name: str) -> tuple[HookModule, int]:
    """Module and width of a hook point that can be steered; raises InvalidRequestError for any other."""
    check_layer(model, hook_name)
    layer = residual_layer(hook_name)
    if layer is not None:
        return residual_stream(model.blocks, layer), model.d_model
    hook_name = _steerable_alias(model, hook_name)
    entry = model.hook_modules.by_name.get(hook_name)
    if entry is None or _LAYER.sub("", hook_name) not in STEERABLE_HOOKS:
        reason = model.hook_modules.unavailable.get(hook_name)
        raise InvalidRequestError(
            f"Hook '{_abbreviated(hook_name)}' cannot be steered{f' ({reason})' if reason else ''}; "
            f"{', '.join(steerable_hooks(model))} can, where N is a layer."
        )
    return entry


def check_layer(model: LanguageModel, hook_name: str) -> None:
    """Raises InvalidRequestError if the hook point names a layer that the model doesn't have."""
    layer = layer_of(hook_name)
    if layer is not None and layer >= model.n_layers:
        raise InvalidRequestError(f"Hook '{_abbreviated(hook_name)}': the model has layers 0 to {model.n_layers - 1}.")


def check_capturable(model: LanguageModel, hook_name: str) -> None:
    """Raises InvalidRequestError if the hook point doesn't exist, or isn't one vector per position."""
    check_layer(model, hook_name)
    if find_hook_module(model, hook_name) is not None:
        return
    if hook_name not in model.bridge.hook_dict:
        raise InvalidRequestError(
            f"Unknown hook '{_abbreviated(hook_name)}'. Hooks have TransformerLens' names, for example "
            "blocks.0.hook_resid_post, blocks.0.hook_mlp_out, blocks.0.mlp.hook_post or blocks.0.attn.hook_z; a module "
            "of block 0 that has one vector per position is blocks.0.<path of the module>.input or .output."
        )
    if not has_position_axis(hook_name):
        raise InvalidRequestError(f"Hook '{hook_name}' does not have one vector per position.")


def has_position_axis(hook_name: str) -> bool:
    """Whether activations are one vector per position, as everywhere but at a few hook points inside attention."""
    return _NOT_BY_POSITION.search(hook_name) is None


def check_width(hook_name: str, subject: str, actual: int, width: int) -> None:
    """Raises InvalidRequestError if `subject`, of width `actual`, doesn't have the `width` of the activations."""
    if actual != width:
        raise InvalidRequestError(
            f"{subject} has {actual} numbers; activations at {_abbreviated(hook_name)} have {width}."
        )


def _abbreviated(hook_name: str) -> str:
    return hook_name if len(hook_name) <= 80 else f"{hook_name[:80]}…"
