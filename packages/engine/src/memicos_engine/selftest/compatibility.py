"""Whether sources belong to a model: their hooks are there, and as wide as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from memicos_engine.capture.capture import capture
from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.hook_points import check_capturable
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import NeuronSource, SourceInfo, neuron_source


def find_incompatible(model: LanguageModel, sources: Sequence[SourceInfo]) -> dict[str, str]:
    """What is wrong with each of the sources that do not fit, by id. Runs the model on one token.

    Raises:
        RuntimeError: the model does not run in its dtype on its device.
    """
    widths: dict[str, int | InvalidRequestError] = {}
    hooks = dict.fromkeys(hook for one in sources for hook, _ in _hook_widths(one))
    for hook in hooks:
        try:
            check_capturable(model, hook)
        except InvalidRequestError as error:
            widths[hook] = error
    widths |= _captured_widths(model, [hook for hook in hooks if hook not in widths])
    found: dict[str, str] = {}
    for one in sources:
        for hook, expected in _hook_widths(one):
            width = widths[hook]
            if isinstance(width, InvalidRequestError):
                found.setdefault(one.id, f"Source {one.id} does not fit {model.id}: {width}")
            elif width != expected:
                takes = "takes" if hook == one.hook_name else "gives"
                found.setdefault(
                    one.id,
                    f"Source {one.id} {takes} activations of width {expected}, but {hook} of {model.id} has {width}: "
                    "the source belongs to another model.",
                )
    return found


def neuron_sources(model: LanguageModel) -> list[NeuronSource]:
    """The MLP neurons of each layer. As wide as in the first: `misfits` finds a layer that is not.

    Raises:
        InvalidRequestError: the model has no one place for them.
    """
    first = "blocks.0.mlp.hook_post"
    check_capturable(model, first)
    width = _captured_widths(model, [first])[first]
    if isinstance(width, InvalidRequestError):
        raise width
    return [
        neuron_source(layer, width, model.tokenizer_prepends_bos, model.max_context) for layer in range(model.n_layers)
    ]


def _hook_widths(one: SourceInfo) -> list[tuple[str, int]]:
    out = one.recipe.hook_name_out
    return [(one.hook_name, one.d_in), *([(out, one.d_out)] if out else [])]


def _captured_widths(model: LanguageModel, hooks: Sequence[str]) -> dict[str, int | InvalidRequestError]:
    """Width of the activations at each hook, in one run where that is possible."""
    if not hooks:
        return {}
    token = torch.tensor([[model.bos_token_id or 0]], device=model.device)
    try:
        return {hook: hidden.shape[-1] for hook, hidden in capture(model, token, None, hooks).items()}
    except InvalidRequestError as error:
        if len(hooks) == 1:
            return {hooks[0]: error}
    return {name: width for hook in hooks for name, width in _captured_widths(model, [hook]).items()}
