"""Histograms of activations and logit effects."""

import numpy as np

HISTOGRAM_BINS = 50
"""Default of `histogram_bins` in the configuration of `memicos generate`."""


def activation_histogram(values: np.ndarray, bins: int) -> np.ndarray:
    """Counts (bins,) of positive `values` (n,) in equal intervals of (0, max]."""
    return np.histogram(values, bins=bins, range=(0.0, values.max()))[0]


def effect_histograms(effects: np.ndarray, bins: int) -> np.ndarray:
    """Counts (F, bins) of each row of `effects` (F, V) in equal intervals from its minimum to its maximum."""
    return np.stack([np.histogram(row, bins=bins, range=(row.min(), row.max()))[0] for row in effects])
