"""Direct effect of a feature's decoder row on the model's logits."""

from dataclasses import dataclass

import numpy as np

from memicos_pipeline.dashboards.histograms import effect_histograms
from memicos_pipeline.dashboards.ranking import largest

DESCRIPTION = "decoder row x gain of the final norm x unembedding (W_dec diag(g) W_U), no centring, no bias"
PROJECTED_DESCRIPTION = DESCRIPTION.replace("decoder row", "decoder row through the layer's output matrix", 1)
"""How the effects are computed, as the manifest and pages state it: at the residual stream, and at the input of a
matrix that leads to it."""


@dataclass(frozen=True)
class LogitEffects:
    """Arrays over features (F, k): token ids and effects, strongest first; histogram counts (F, bins) with range."""

    positive_ids: np.ndarray
    positive: np.ndarray
    negative_ids: np.ndarray
    negative: np.ndarray
    histograms: np.ndarray
    low: np.ndarray
    high: np.ndarray


def logit_effects(
    decoder: np.ndarray, gain: np.ndarray, unembedding: np.ndarray, count: int, bins: int, chunk: int = 128
) -> LogitEffects:
    """Direct effect of each decoder row (F, D) on the logits through `gain` (D,) and `unembedding` (V, D).

    The `count` largest and smallest effects of each row are listed. The final norm's division by the residual's own
    size is ignored: it scales all logits of a position alike.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    weights = (unembedding * gain).T.copy()
    for start in range(0, len(decoder), chunk):
        effects = decoder[start : start + chunk] @ weights
        low, high = effects.min(axis=1), effects.max(axis=1)
        counts = effect_histograms(effects, bins)
        positive_ids, positive = largest(effects, count)
        negative_ids, negative = largest(-effects, count)
        parts.append((positive_ids, positive, negative_ids, -negative, counts, low, high))
    return LogitEffects(*(np.concatenate(column) for column in zip(*parts, strict=True)))
