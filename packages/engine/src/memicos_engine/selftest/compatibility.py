"""Check that sources fit a model: it has their hook points, with their widths."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from memicos_engine.capture.capture import capture
from memicos_engine.errors import InvalidRequestError
from memicos_engine.model.hook_points import check_capturable
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import NeuronSource, SourceInfo, neuron_source


def find_incompatible(model: LanguageModel, sources: Sequence[SourceInfo]) -> dict[str, str]:
    """The reason for each source that does not fit the model, by id. Runs the model on one token.

    Raises:
        RuntimeError: the model does not run in its dtype on its device.
    """
    widths: dict[str, int | InvalidRequestError] = {}
    hooks = dict.fromkeys(hook for source in sources for hook, _ in _hook_widths(source))
    for hook in hooks:
        try:
            check_capturable(model, hook)
        except InvalidRequestError as error:
            widths[hook] = error
    widths |= _captured_widths(model, [hook for hook in hooks if hook not in widths])
    reasons: dict[str, str] = {}
    for source in sources:
        for hook, expected in _hook_widths(source):
            width = widths[hook]
            if isinstance(width, InvalidRequestError):
                reasons.setdefault(source.id, f"Source {source.id} does not fit {model.id}: {width}")
            elif width != expected:
                verb = "takes" if hook == source.hook_name else "gives"
                reasons.setdefault(
                    source.id,
                    f"Source {source.id} {verb} activations of width {expected}, but {hook} of {model.id} has {width}: "
                    "the source belongs to another model.",
                )
    return reasons


def neuron_sources(model: LanguageModel) -> list[NeuronSource]:
    """The MLP neurons of each layer, with the width of the first layer; `find_incompatible` finds layers of another.

    Raises:
        InvalidRequestError: the model has no hook point for them.
    """
    first = "blocks.0.mlp.hook_post"
    check_capturable(model, first)
    width = _captured_widths(model, [first])[first]
    if isinstance(width, InvalidRequestError):
        raise width
    return [
        neuron_source(layer, width, model.tokenizer_prepends_bos, model.max_context) for layer in range(model.n_layers)
    ]


def _hook_widths(source: SourceInfo) -> list[tuple[str, int]]:
    out = source.recipe.hook_name_out
    return [(source.hook_name, source.d_in), *([(out, source.d_out)] if out else [])]


def _captured_widths(model: LanguageModel, hooks: Sequence[str]) -> dict[str, int | InvalidRequestError]:
    """Width of the activations at each hook point, or the error, from one run if possible."""
    if not hooks:
        return {}
    token = torch.tensor([[model.bos_token_id or 0]], device=model.device)
    try:
        return {hook: hidden.shape[-1] for hook, hidden in capture(model, token, None, hooks).items()}
    except InvalidRequestError as error:
        if len(hooks) == 1:
            return {hooks[0]: error}
    return {name: width for hook in hooks for name, width in _captured_widths(model, [hook]).items()}
