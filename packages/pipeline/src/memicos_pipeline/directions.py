"""What a source's weights say by themselves: logit effects, decoder neighbours; and correlations of activations."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

LOGIT_EFFECT = "decoder row x gain of the final norm x unembedding (W_dec diag(g) W_U), no centring, no bias"


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
    decoder: np.ndarray, gain: np.ndarray, unembedding: np.ndarray, top: int, bins: int, chunk: int = 128
) -> LogitEffects:
    """Direct effect of each decoder row (F, D) on the logits through `gain` (D,) and `unembedding` (V, D).

    The final norm's division by the residual's own size is left out: it scales all logits of a position alike.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    weights = (unembedding * gain).T.copy()
    for first in range(0, len(decoder), chunk):
        effects = decoder[first : first + chunk] @ weights
        low, high = effects.min(axis=1), effects.max(axis=1)
        counts = np.stack([np.histogram(row, bins=bins, range=(row.min(), row.max()))[0] for row in effects])
        up, up_values = _strongest(effects, top)
        down, down_values = _strongest(-effects, top)
        parts.append((up, up_values, down, -down_values, counts, low, high))
    return LogitEffects(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def decoder_neighbours(decoder: np.ndarray, top: int, chunk: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Indices and cosines (F, top) of the decoder rows nearest to each row of (F, D), itself left out."""
    unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    found = []
    for first in range(0, len(unit), chunk):
        cosines = unit[first : first + chunk] @ unit.T
        np.put_along_axis(cosines, np.arange(first, first + len(cosines))[:, None], -np.inf, axis=1)
        found.append(_strongest(cosines, top))
    return np.concatenate([ids for ids, _ in found]), np.concatenate([values for _, values in found])


def correlated_features(
    matrix: sparse.csr_matrix, counted: int, top: int, chunk: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and Pearson correlations (F, top) of activations (tokens, F) over `counted` tokens, itself left out.

    Rows that do not count must be empty. A feature that never varies correlates with nothing: its entries are NaN.
    """
    columns = sparse.csc_array(matrix, dtype=np.float64)
    mean = np.asarray(columns.sum(axis=0)).ravel() / counted
    square = np.asarray(columns.multiply(columns).sum(axis=0)).ravel() / counted
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    rows = sparse.csr_array(columns)
    found = []
    for first in range(0, len(mean), chunk):
        block = slice(first, first + chunk)
        covariance = (columns[:, block].T @ rows).toarray() / counted - np.outer(mean[block], mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = covariance / np.outer(deviation[block], deviation)
        np.put_along_axis(correlation, np.arange(first, first + len(correlation))[:, None], -np.inf, axis=1)
        correlation[~np.isfinite(correlation)] = -np.inf
        found.append(_strongest(correlation, top))
    ids, values = (np.concatenate(column) for column in zip(*found, strict=True))
    return ids, np.where(np.isfinite(values), values, np.nan)


def _strongest(rows: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.argpartition(-rows, top - 1, axis=1)[:, :top]
    values = np.take_along_axis(rows, ids, axis=1)
    order = np.lexsort((ids, -values), axis=1)
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(values, order, axis=1)
