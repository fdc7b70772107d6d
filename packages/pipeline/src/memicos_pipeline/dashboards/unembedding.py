"""The path from the residual stream to the logits: gain of the final norm and unembedding matrix."""

import re

import numpy as np
import torch
from memicos_engine.model.hook_points import find_hook_module, residual_layer
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import SaeSource, Source

from memicos_pipeline.config import ConfigError


def final_norm_gain(model: LanguageModel) -> np.ndarray:
    """Gain of the final norm (D,), float32.

    It is read off the norm's output for +1, -1, +1, ... (mean 0, root mean square 1), because architectures store it in
    different ways (Gemma's weight is the gain minus 1). A bias cancels in the difference of outputs for both signs.
    """
    norm = model.bridge.ln_final
    signs = torch.ones(1, 1, model.d_model, dtype=torch.float32, device=model.device)
    signs[..., 1::2] = -1
    with torch.inference_mode():
        positive, negative = norm(signs.to(model.dtype)).float(), norm(-signs.to(model.dtype)).float()
    return ((positive - negative) / 2 * signs)[0, 0].cpu().numpy()


_WRITES_TO_RESIDUAL = re.compile(
    r"hook_embed|blocks\.[0-9]+\.hook_(resid_(pre|mid|post)|attn_out|mlp_out)|blocks\.[0-9]+\.mlp\.hook_out"
)
"""Hook points whose activations are added to the residual stream, or are it."""


def check_direction(model: LanguageModel, source: Source) -> None:
    """Raises ConfigError where the source's directions have no linear path to the residual stream."""
    if _WRITES_TO_RESIDUAL.fullmatch(source.steer_hook) is None and _output_layer(model, source) is None:
        raise ConfigError(
            f"source {source.id}: logit effects of features at {source.steer_hook} are not defined, as no linear layer "
            "leads from there to the residual stream"
        )


def residual_directions(model: LanguageModel, source: Source) -> np.ndarray:
    """What each feature adds to the residual stream (F, D), float32: its decoder row, through the layer after its hook.

    Rows at attention heads pass through the output matrix of attention, those at MLP neurons through that of the MLP.
    """
    layer = _output_layer(model, source)
    if isinstance(source, SaeSource):
        rows = source.decoder_rows().detach().float()
    else:
        rows = torch.eye(source.d_sae, device=model.device)
    if layer is None:
        return rows.cpu().numpy()
    with torch.inference_mode():
        zero = layer(torch.zeros(1, rows.shape[1], dtype=model.dtype, device=model.device))
        # a bias cancels
        return (layer(rows.to(model.device, model.dtype)) - zero).float().cpu().numpy()


def passes_output_layer(model: LanguageModel, source: Source) -> bool:
    """Whether `residual_directions` passes the rows through an output matrix; widths do not tell: they may be equal."""
    return _output_layer(model, source) is not None


def _output_layer(model: LanguageModel, source: Source) -> torch.nn.Module | None:
    """The linear layer whose input is the hook that the source writes to, and whose output has the model's width."""
    hook = source.steer_hook
    if residual_layer(hook) is not None:
        return None
    module = find_hook_module(model, hook)
    weight = getattr(module.module, "weight", None) if module is not None and module.side == "input" else None
    if module is None or weight is None or weight.dim() != 2 or source.d_out not in weight.shape:
        return None
    return module.module if set(weight.shape) <= {source.d_out, model.d_model} else None


def unembedding_matrix(model: LanguageModel) -> np.ndarray:
    """Weights of the output layer (V, D), float32."""
    weight: torch.Tensor = model.hf.get_output_embeddings().weight  # pyright: ignore[reportOptionalMemberAccess]
    return weight.detach().float().cpu().numpy()
