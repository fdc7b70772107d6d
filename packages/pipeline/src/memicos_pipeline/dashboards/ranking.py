"""Largest entries of matrix rows."""

import numpy as np


def largest(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Column indices and values (R, min(count, C)) of the largest entries of each row (R, C), largest first.

    Equal values are ordered by column index. NaN counts as larger than every number, as in numpy's sorting.
    """
    count = min(count, rows.shape[1])
    if count <= 0:
        return np.empty((len(rows), 0), dtype=np.int64), np.empty((len(rows), 0), dtype=rows.dtype)
    columns = np.argpartition(-rows, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(rows, columns, axis=1)
    order = np.lexsort((columns, -values), axis=1)
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
