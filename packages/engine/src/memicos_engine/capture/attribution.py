"""Direct feature attribution: which positions an attention source's feature is written from.

A source at `attn.hook_z` reads the heads' mixed values. What a feature gets at position t before bias and threshold is
a sum over positions s and heads h, and its part from s is
sum_h pattern[h, t, s] * (v[s, h] . W_enc[rows of head h, feature]).
With fewer heads of keys and values than of queries each serves a group of neighbours. (Kissane et al. 2024,
"Interpreting Attention Layer Outputs with Sparse Autoencoders".)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import SourceInfo

_HEADS = re.compile(r"(blocks\.\d+\.attn\.)hook_z")


@dataclass(frozen=True)
class Attribution:
    """`values`: one a position, 0 behind `target`, the position that is attributed; `max_value`: their maximum."""

    values: list[float]
    max_value: float
    target: int


def reads_attention_heads(source: SourceInfo) -> bool:
    """Whether the source reads attention heads."""
    return _HEADS.fullmatch(source.hook_name) is not None


def attribution_hooks(model: LanguageModel, source: SourceInfo) -> tuple[str, ...]:
    """Names of the hook points of pattern and values that `attribute` needs.

    None for a source that does not read attention heads, and in a model that forms no pattern there.
    """
    found = _HEADS.fullmatch(source.hook_name)
    if found is None:
        return ()
    names = (f"{found.group(1)}hook_pattern", f"{found.group(1)}hook_v")
    return names if all(name in model.bridge.hook_dict for name in names) else ()


def attribute(
    needed: Sequence[str], captured: Mapping[str, torch.Tensor], column: torch.Tensor, target: int
) -> Attribution:
    """Parts of the feature with encoder column `column` at position `target`, by position.

    `captured` has what is `needed`, as `hooks_needed` names it, of one prompt: the pattern (heads, T, T) and values
    (T, heads of values * d_head).
    """
    pattern, values = (captured[name].float() for name in needed)
    n_heads = len(pattern)
    column = column.float().view(n_heads, -1)
    values = values.view(len(values), -1, column.shape[1])
    values = values.repeat_interleave(n_heads // values.shape[1], dim=1)
    parts = torch.einsum("hs,shd,hd->s", pattern[:, target], values, column)
    return Attribution(parts.tolist(), parts.max().item(), target)
