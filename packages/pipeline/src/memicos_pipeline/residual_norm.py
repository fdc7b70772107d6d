"""The norm of the activations that a source reads; pages express steering strengths as shares of it."""

import numpy as np
import torch
from memicos_engine.capture.capture import capture
from memicos_engine.capture.positions import included_positions, recipe_has_bos
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source

from memicos_pipeline.harvest import padded_batch

SAMPLE = 64
"""Number of contexts, evenly spread over the corpus, that the norm is measured on."""
BATCH = 8


@torch.inference_mode()
def residual_norm(model: LanguageModel, source: Source, token_ids: np.ndarray) -> float | None:
    """Median norm of the activations at the source's hook over the counted tokens of `SAMPLE` of the contexts (N, T).

    None for a source that is steered at another hook than it reads, and where no token counts.
    """
    if source.steer_hook != source.hook_name:
        return None
    chosen = token_ids[np.unique(np.linspace(0, len(token_ids) - 1, SAMPLE).astype(int))]
    norms = []
    for first in range(0, len(chosen), BATCH):
        ids, real = padded_batch(chosen[first : first + BATCH], model.device)
        mask = None if real.all() else real.long()
        hidden = capture(model, ids, mask, [source.hook_name])[source.hook_name]
        counted = included_positions(hidden, source.recipe, recipe_has_bos(source.recipe, model.bos_token_id)) & real
        # MPS has no float64
        norms.append(hidden[counted].cpu().double().norm(dim=-1))
    values = torch.cat(norms)
    return values.median().item() if len(values) else None
