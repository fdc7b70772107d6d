"""The path from the residual stream to the logits: gain of the final norm and unembedding matrix."""

import numpy as np
import torch
from memicos_engine.model.language_model import LanguageModel


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


def unembedding_matrix(model: LanguageModel) -> np.ndarray:
    """Weights of the output layer (V, D), float32."""
    weight: torch.Tensor = model.hf.get_output_embeddings().weight  # pyright: ignore[reportOptionalMemberAccess]
    return weight.detach().float().cpu().numpy()
