"""Attention that gets sharper with the position of a token, in batches whose rows are padded on the left.

Llama 4 and Inkling scale the queries of some layers by a factor that grows with the position, beyond a number of tokens
(`floor_scale`, `log_scaling_n_floor`). transformers' code of these classes takes the column of the batch for the
position. In a row with padding before its text the column is larger, so the factor is that of a longer text. Here it is
corrected by the ratio of the factors at position and column, which is 1 in a run without padding on the left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel


@dataclass
class _TextPositions:
    """Positions (B, T) that the forward pass in progress was given; None: those of the columns."""

    ids: torch.Tensor | None = None

    def read(self, _module: torch.nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.ids = kwargs.get("position_ids")


class _Correction:
    """Hooks of one attention module: its queries (and what is added to its scores) times the ratio of the factors."""

    def __init__(
        self, attention: Any, positions: _TextPositions, factor: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        self._layer = attention.layer_idx
        self._positions = positions
        self._factor = factor
        self._ratio: torch.Tensor | None = None

    def begin(self, _module: torch.nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Compute the ratio (B, T); None where every token is at the column of its position."""
        self._ratio = None
        positions, cache = self._positions.ids, kwargs.get("past_key_values")
        if positions is None:
            return
        first = 0 if cache is None else cache.get_seq_length(self._layer)
        columns = first + torch.arange(positions.shape[1], device=positions.device)
        if not torch.equal(columns.expand_as(positions), positions):
            self._ratio = self._factor(positions) / self._factor(columns)

    def scale_rows(self, _module: torch.nn.Module, _args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        """Scale an output (B, T, ...)."""
        if self._ratio is None:
            return output
        return (output * self._ratio.reshape(*self._ratio.shape, *[1] * (output.dim() - 2))).to(output.dtype)

    def scale_scores(self, _module: torch.nn.Module, _args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        """Scale an output (B, heads, T, keys)."""
        return output if self._ratio is None else (output * self._ratio[:, None, :, None]).to(output.dtype)


def use_text_positions(hf: PreTrainedModel) -> None:
    """Make the attention modules of `hf` whose factor depends on the column use the positions that `hf` is given."""
    for model in hf.modules():
        layers = getattr(model, "layers", None)
        if not isinstance(layers, torch.nn.ModuleList):
            continue
        positions = _TextPositions()
        attentions = [module for module in layers.modules() if _correct(module, positions)]
        if attentions:
            model.register_forward_pre_hook(positions.read, with_kwargs=True)


def _correct(module: torch.nn.Module, positions: _TextPositions) -> bool:
    """Add the hooks of a correction to an attention module that needs it; return whether it does."""
    factor = _llama4_factor(module) or _inkling_factor(module)
    if factor is None:
        return False
    attention: Any = module
    correction = _Correction(attention, positions, factor)
    attention.register_forward_pre_hook(correction.begin, with_kwargs=True)
    if hasattr(attention, "rel_logits_proj"):
        attention.q_norm.register_forward_hook(correction.scale_rows)
        attention.rel_logits_proj.register_forward_hook(correction.scale_scores)
    else:
        # these layers have neither rotary embeddings nor a norm of the queries
        attention.q_proj.register_forward_hook(correction.scale_rows)
    return True


def _llama4_factor(module: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """arXiv:2501.19399, in the layers without rotary embeddings."""
    if not getattr(module, "attn_temperature_tuning", False) or getattr(module, "use_rope", True):
        return None
    scale, floor = module.attn_scale, module.floor_scale
    return lambda positions: torch.log1p(torch.floor((positions.float() + 1.0) / floor)) * scale + 1.0


def _inkling_factor(module: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    config: Any = getattr(module, "config", None)
    floor = getattr(config, "log_scaling_n_floor", None)
    # Inkling 2 has no such module, and uses positions
    if floor is None or not hasattr(module, "rel_logits_proj") or module.is_sliding:
        return None
    alpha: float = config.log_scaling_alpha
    return lambda positions: 1.0 + alpha * torch.log(((positions + 1).float() / floor).clamp(min=1.0))
