"""Rotary position embeddings whose frequencies depend on the length of the text.

With `longrope` (Phi-3 128k, Phi-4-mini) a text of at most `original_max_position_embeddings` tokens has the "short"
frequencies, a longer one the "long" ones, at all its positions (arXiv:2402.13753). transformers takes the largest
position of a forward pass for the length. In a batch that is the longest row's, and in a part of a prompt the end of
the part. Here each row gets the frequencies of its own text; the texts' lengths are passed by `text_lengths`.

Other kinds need nothing here. Linear, `llama3`, `yarn` and `proportional` frequencies are constants. `dynamic` ones
change where a text is longer than the model's context (`max_position_embeddings`), which is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from transformers import PreTrainedModel

_text_lengths: ContextVar[torch.Tensor | Sequence[int] | None] = ContextVar("text_lengths", default=None)


@contextmanager
def text_lengths(lengths: torch.Tensor | Sequence[int] | None) -> Iterator[None]:
    """State the number of tokens (B,) of the text of each row, for the forward passes inside the context.

    None: each row is a whole text without padding.
    """
    token = _text_lengths.set(lengths)
    try:
        yield
    finally:
        _text_lengths.reset(token)


def use_text_lengths(hf: PreTrainedModel) -> tuple[int, ...]:
    """Make the rotary modules of `hf` use `text_lengths`.

    Returns the numbers of tokens beyond which frequencies differ, in ascending order; empty for most models.
    """
    limits: set[int] = set()
    for module in hf.modules():
        if isinstance(module, torch.nn.Module) and (by_type := _length_limits(module)):
            module.forward = _RotaryByRow(module, by_type)
            limits |= set(by_type.values())
    return tuple(sorted(limits))


@contextmanager
def plain_rotary(hf: PreTrainedModel) -> Iterator[None]:
    """Run the rotary modules of `hf` as transformers defines them inside the context, without `text_lengths`."""
    replaced = [module for module in hf.modules() if isinstance(vars(module).get("forward"), _RotaryByRow)]
    forwards = [vars(module).pop("forward") for module in replaced]
    try:
        yield
    finally:
        for module, forward in zip(replaced, forwards, strict=True):
            module.forward = forward


def _length_limits(module: torch.nn.Module) -> dict[str | None, int]:
    """The largest length with short frequencies, by layer type (None where layers have no types)."""
    kinds = getattr(module, "rope_type", None)
    parameters = getattr(getattr(module, "config", None), "rope_parameters", None)
    if kinds is None or parameters is None:
        return {}
    by_type = {None: (kinds, parameters)} if isinstance(kinds, str) else {k: (kinds[k], parameters[k]) for k in kinds}
    return {
        layer_type: values["original_max_position_embeddings"]
        for layer_type, (kind, values) in by_type.items()
        if kind == "longrope"
    }


class _RotaryByRow:
    """The forward method of a rotary module: cosine and sine (B, T, d_head), with the frequencies of each row's text.

    transformers' own method is run once for the rows with short and once for the rows with long frequencies. It is
    given positions below the limit, or one column more with the first position beyond it.
    """

    def __init__(self, module: torch.nn.Module, limits: dict[str | None, int]) -> None:
        self._module = module
        self._limits = limits

    def __call__(self, x: torch.Tensor, position_ids: torch.Tensor, layer_type: str | None = None) -> Any:
        lengths = _text_lengths.get()
        limit = self._limits.get(layer_type)
        options = {} if layer_type is None else {"layer_type": layer_type}
        if lengths is None or limit is None:
            return self._forward(x, position_ids, options)
        is_long = [length > limit for length in (lengths.tolist() if isinstance(lengths, torch.Tensor) else lengths)]
        # padding may have larger positions than the text
        short_ids = position_ids.clamp(max=limit - 1)
        if not any(is_long):
            return self._forward(x, short_ids, options)
        long_ids = torch.nn.functional.pad(position_ids, (0, 1), value=limit)
        if all(is_long):
            return tuple(part[..., :-1, :] for part in self._forward(x, long_ids, options))
        rows = torch.tensor(is_long, device=position_ids.device)[:, None, None]
        short = self._forward(x, short_ids, options)
        long = self._forward(x, long_ids, options)
        return tuple(torch.where(rows, b[..., :-1, :], a) for a, b in zip(short, long, strict=True))

    def _forward(self, x: torch.Tensor, position_ids: torch.Tensor, options: dict[str, str]) -> Any:
        return type(self._module).forward(self._module, x, position_ids, **options)
