"""Direct feature attribution (DFA): how much each position contributes to a feature of an attention source.

A source at `attn.hook_z` reads the concatenated outputs of the attention heads. A feature's value at position t before
bias and threshold is a sum over source positions s and heads h; the contribution of s is
sum_h pattern[h, t, s] * (v[s, h] . W_enc[rows of head h, feature]).
With grouped-query attention each head of keys and values serves a group of adjacent query heads. (Kissane et al. 2024,
"Interpreting Attention Layer Outputs with Sparse Autoencoders".)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import SourceInfo

_HEADS = re.compile(r"(blocks\.[0-9]+\.attn\.)hook_z")


@dataclass(frozen=True)
class Attribution:
    """Contributions of positions to a feature at position `target`.

    `values` has one contribution per position, 0 after `target`; `max_value` is their maximum.
    """

    values: list[float]
    max_value: float
    target: int


def reads_attention_heads(source: SourceInfo) -> bool:
    """Whether the source reads attention heads."""
    return _HEADS.fullmatch(source.hook_name) is not None


def attribution_hooks(model: LanguageModel, source: SourceInfo) -> tuple[str, ...]:
    """Names of the hook points of attention pattern and values that `attribute` needs.

    Empty for a source that does not read attention heads, and for a model without these hook points.
    """
    match = _HEADS.fullmatch(source.hook_name)
    if match is None:
        return ()
    names = (f"{match.group(1)}hook_pattern", f"{match.group(1)}hook_v")
    return names if all(name in model.bridge.hook_dict for name in names) else ()


def attribute(
    hooks: Sequence[str], captured: Mapping[str, torch.Tensor], column: torch.Tensor, target: int
) -> Attribution:
    """Contribution of each position to the feature with encoder column `column` (D,) at position `target`.

    `hooks` are those of `attribution_hooks`; `captured` has their activations on one prompt: the pattern (heads, T, T)
    and the values (T, key-value heads * d_head).
    """
    pattern, values = (captured[name].float() for name in hooks)
    n_heads = len(pattern)
    column = column.float().view(n_heads, -1)
    values = values.view(len(values), -1, column.shape[1])
    values = values.repeat_interleave(n_heads // values.shape[1], dim=1)
    contributions = torch.einsum("hs,shd,hd->s", pattern[:, target], values, column)
    return Attribution(contributions.tolist(), contributions.max().item(), target)
