"""Features that are active on the same tokens."""

import numpy as np
from scipy import sparse

from memicos_pipeline.dashboards.ranking import largest


def correlated_features(
    matrix: sparse.csr_matrix, counted: int, count: int, chunk: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and Pearson correlations (F, min(count, F - 1)) of activations (tokens, F), excluding the feature itself.

    Correlations are over `counted` tokens; rows of tokens that do not count must be empty. A feature that never
    varies correlates with nothing: its entries are NaN.
    """
    columns = sparse.csc_array(matrix, dtype=np.float64)
    mean = np.asarray(columns.sum(axis=0)).ravel() / counted
    square = np.asarray(columns.multiply(columns).sum(axis=0)).ravel() / counted
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    rows = sparse.csr_array(columns)
    count = min(count, len(mean) - 1)
    indices, correlations = [], []
    for start in range(0, len(mean), chunk):
        block = slice(start, start + chunk)
        covariance = (columns[:, block].T @ rows).toarray() / counted - np.outer(mean[block], mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = covariance / np.outer(deviation[block], deviation)
        np.put_along_axis(correlation, np.arange(start, start + len(correlation))[:, None], -np.inf, axis=1)
        correlation[~np.isfinite(correlation)] = -np.inf
        nearest, values = largest(correlation, count)
        indices.append(nearest)
        correlations.append(np.where(np.isfinite(values), values, np.nan))
    return np.concatenate(indices), np.concatenate(correlations)
