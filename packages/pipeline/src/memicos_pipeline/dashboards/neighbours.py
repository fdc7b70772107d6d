"""Features whose decoder rows point in similar directions."""

import numpy as np

from memicos_pipeline.dashboards.ranking import largest


def decoder_neighbours(decoder: np.ndarray, count: int, chunk: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Indices and cosines (F, min(count, F - 1)) of the decoder rows nearest to each row of (F, D), excluding itself.

    A row of length 0 has no direction: its own cosines are NaN, and it is no other row's neighbour.
    """
    count = min(count, len(decoder) - 1)
    lengths = np.linalg.norm(decoder, axis=1, keepdims=True)
    without_direction = lengths[:, 0] == 0
    unit = decoder / np.where(lengths == 0, 1, lengths)
    indices, cosines = [], []
    for start in range(0, len(unit), chunk):
        block = unit[start : start + chunk] @ unit.T
        block[:, without_direction] = -np.inf
        np.put_along_axis(block, np.arange(start, start + len(block))[:, None], -np.inf, axis=1)
        block[without_direction[start : start + chunk]] = -np.inf
        columns, values = largest(block, count)
        indices.append(columns)
        cosines.append(np.where(np.isfinite(values), values, np.nan))
    return np.concatenate(indices), np.concatenate(cosines)
