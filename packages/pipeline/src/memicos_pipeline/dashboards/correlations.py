"""Features that are active on the same tokens."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from memicos_pipeline.dashboards.ranking import largest

MAX_PASSES = 8
"""Correlations are over all tokens where at most this many passes over the stored activations suffice, else over a
sample of contexts."""

Shards = Callable[[], Iterator[sparse.csc_matrix]]
"""Starts a pass over the activations (positions of a shard, F) of one shard after another."""


def correlated_features(
    shards: Shards, features: int, counted: int, count: int, max_bytes: int = 2**29
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and Pearson correlations (F, min(count, F - 1)) of activations over all shards, without itself.

    Correlations are over `counted` positions; positions that do not count have no activations. A feature that never
    varies correlates with nothing: its entries are NaN. Sums are of float64, added in the order of the shards.
    `max_bytes` is the memory of a block of rows of the matrix of products, each row 8 * F bytes; every block takes one
    pass over the shards.
    """
    block_rows = _block_rows(features, max_bytes)
    total, squares = np.zeros(features), np.zeros(features)
    for matrix in shards():
        columns = sparse.csc_array(matrix, dtype=np.float64)
        total += np.asarray(columns.sum(axis=0)).ravel()
        squares += np.asarray(columns.multiply(columns).sum(axis=0)).ravel()
    mean = total / counted
    deviation = np.sqrt(np.maximum(squares / counted - mean**2, 0.0))
    count = min(count, features - 1)
    indices, correlations = [], []
    for start in range(0, features, block_rows):
        block = slice(start, min(start + block_rows, features))
        products = np.zeros((block.stop - start, features))
        for matrix in shards():
            columns = sparse.csc_array(matrix, dtype=np.float64)
            products += (columns[:, block].T @ sparse.csr_array(columns)).toarray()
        products /= counted
        # a part of the rows at a time: ranking takes memory of its own
        for first in range(0, len(products), 256):
            rows = slice(start + first, min(start + first + 256, block.stop))
            covariance = products[first : first + 256] - np.outer(mean[rows], mean)
            with np.errstate(invalid="ignore", divide="ignore"):
                correlation = covariance / np.outer(deviation[rows], deviation)
            np.put_along_axis(correlation, np.arange(rows.start, rows.stop)[:, None], -np.inf, axis=1)
            correlation[~np.isfinite(correlation)] = -np.inf
            nearest, values = largest(correlation, count)
            indices.append(nearest)
            correlations.append(np.where(np.isfinite(values), values, np.nan))
    return np.concatenate(indices), np.concatenate(correlations)


def passes_needed(features: int, max_bytes: int) -> int:
    """Passes over the shards that exact correlations of `features` features take with blocks of `max_bytes`."""
    return -(-features // _block_rows(features, max_bytes))


def _block_rows(features: int, max_bytes: int) -> int:
    return max(1, min(features, max_bytes // (8 * features)))
