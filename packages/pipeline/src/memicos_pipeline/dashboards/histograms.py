"""Histograms of activations and logit effects.

A bin contains its lower edge, the last bin both. Edges are in float64: rounded to the values' float32, an edge moves
over values next to it.
"""

import numpy as np

HISTOGRAM_BINS = 50
"""Default of `histogram_bins` in the configuration of `memicos generate`."""


def activation_histogram(values: np.ndarray, bins: int) -> np.ndarray:
    """Counts (bins,) of positive float32 `values` (n,): bin i has those with i max <= bins value < (i + 1) max.

    Both sides of the comparison are whole multiples of a float32, and exact in float64.
    """
    scaled = values.astype(np.float64) * bins
    return np.histogram(scaled, bins=bins, range=(0.0, scaled.max()))[0]


def effect_histograms(effects: np.ndarray, bins: int) -> np.ndarray:
    """Counts (F, bins) of each row of `effects` (F, V) in equal intervals from its minimum to its maximum."""
    rows = (row.astype(np.float64) for row in effects)
    return np.stack([np.histogram(row, bins=bins, range=(row.min(), row.max()))[0] for row in rows])
