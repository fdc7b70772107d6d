"""A feature's strongest activations, and the share of them that has some property."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

MAX_EVENTS = 100
"""Largest number of activations that an explanation is computed from, strongest first."""
MIN_SHARE_OF_MAXIMUM = 0.5
"""Activations below this share of the strongest one are ignored."""
DASHBOARD_EXAMPLES = 12
"""This many of the strongest activations, each of another context, have half of the weight."""
PER_CONTEXT = 3
"""Largest number of activations from one context, so that a list in one text does not dominate."""


@dataclass(frozen=True)
class Events:
    """`features`, `positions` and `weights` (E,), sorted by feature; a feature's weights sum to 1.

    `offsets` (F + 1,): feature f has the events offsets[f]:offsets[f + 1], strongest first.
    """

    features: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def without(self, excluded: np.ndarray) -> "Events":
        """The events that `excluded` (E,) does not mark, with weights scaled to sum to 1 again."""
        included = ~excluded
        features, weights = self.features[included], self.weights[included]
        count = len(self.offsets) - 1
        sums = np.bincount(features, weights=weights, minlength=count)
        counts = np.bincount(features, minlength=count)
        return Events(
            features, self.positions[included], weights / sums[features], np.concatenate([[0], np.cumsum(counts)])
        )


def strongest_events(matrix: sparse.csc_matrix, width: int) -> Events:
    """Select the strongest activations of each column of `matrix` (N * `width`, F), weighted by their values."""
    columns = matrix.tocsc()
    event_positions: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for first, end in zip(columns.indptr[:-1].tolist(), columns.indptr[1:].tolist(), strict=True):
        values = columns.data[first:end].astype(np.float64)
        positions = columns.indices[first:end].astype(np.int64)
        strong = np.flatnonzero(values > max(0.0, MIN_SHARE_OF_MAXIMUM * float(values.max(initial=0.0))))
        order = strong[np.lexsort((positions[strong], -values[strong]))]
        ranks = _rank_in_context(positions[order] // width)
        selected = ranks < PER_CONTEXT
        order, ranks = order[selected][:MAX_EVENTS], ranks[selected][:MAX_EVENTS]
        event_positions.append(positions[order])
        weights.append(_weights(values[order], ranks))
    counts = np.array([len(part) for part in event_positions])
    return Events(
        np.repeat(np.arange(len(event_positions)), counts),
        np.concatenate(event_positions) if event_positions else np.empty(0, np.int64),
        np.concatenate(weights) if weights else np.empty(0),
        np.concatenate([[0], np.cumsum(counts)]),
    )


def _weights(values: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    leading = np.flatnonzero(ranks == 0)[:DASHBOARD_EXAMPLES]
    remaining = np.ones(len(values), dtype=bool)
    remaining[leading] = False
    weights = values / max(float(values.sum()), 1e-12)
    if remaining.any():
        weights[leading] = 0.5 * values[leading] / values[leading].sum()
        weights[remaining] = 0.5 * values[remaining] / values[remaining].sum()
    return weights


def _rank_in_context(contexts: np.ndarray) -> np.ndarray:
    """Number of earlier entries of the same context, for each entry of `contexts` (n,)."""
    order = np.argsort(contexts, kind="stable")
    grouped = contexts[order]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    ranks = np.empty(len(contexts), np.int64)
    ranks[order] = np.arange(len(contexts)) - np.repeat(starts, np.diff(starts, append=len(contexts)))
    return ranks


def top_shares(events: Events, labels: np.ndarray, top: int) -> list[list[tuple[int, float]]]:
    """For each feature, the `top` labels (E,) with the largest shares of its weight, largest first; ties by label."""
    size = int(labels.max(initial=0)) + 2
    keys, inverse = np.unique(events.features * size + (labels + 1), return_inverse=True)
    shares = np.bincount(inverse, weights=events.weights, minlength=len(keys))
    features, label_keys = np.divmod(keys, size)
    order = np.lexsort((label_keys, -shares.round(12), features))
    result: list[list[tuple[int, float]]] = [[] for _ in range(len(events.offsets) - 1)]
    for feature, label, share in zip(
        features[order].tolist(), (label_keys[order] - 1).tolist(), shares[order].tolist(), strict=True
    ):
        if len(result[feature]) < top:
            result[feature].append((label, share))
    return result


def class_shares(events: Events, members: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(F, C) share of each feature's weight at positions `at` (E,) that belong to each class of `members` (P, C)."""
    flags = members[at] & (at >= 0)[:, None]
    shape = (len(events.offsets) - 1, len(at))
    picker = sparse.csr_matrix((events.weights, np.arange(len(at)), events.offsets), shape=shape)
    return np.asarray(picker @ flags.astype(np.float64))
