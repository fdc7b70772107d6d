"""Histograms equal a count by exact fractions, also of values beside an edge and on it."""

from fractions import Fraction

import numpy as np
import pytest
from memicos_pipeline.dashboards.histograms import activation_histogram, effect_histograms


def exact_histogram(values: np.ndarray, bins: int, low: float) -> list[int]:
    """Counts of `values` (n,) in equal intervals from `low` to their maximum; the upper edge belongs to the last."""
    counts = [0] * bins
    least, width = Fraction(low), Fraction(float(values.max())) - Fraction(low)
    for value in values.tolist():
        counts[min(int((Fraction(value) - least) * bins / width), bins - 1)] += 1
    return counts


def beside_edges(low: float, high: float, bins: int) -> np.ndarray:
    """float32 values (n,): `high`, the nearest ones to each edge between the two, and the neighbours of these."""
    edges = np.linspace(low, high, bins + 1, dtype=np.float64)[1:-1].astype(np.float32)
    return np.concatenate(
        [
            edges,
            np.nextafter(edges, np.float32(-np.inf)),
            np.nextafter(edges, np.float32(np.inf)),
            np.array([high], np.float32),
        ]
    )


@pytest.mark.parametrize("bins", [50, 7])
@pytest.mark.parametrize("top", [0.1, 3.3, 25.0, 61.7, 5e-3])
def test_activations_are_counted_exactly(top: float, bins: int) -> None:
    values = beside_edges(0, float(np.float32(top)), bins)
    assert activation_histogram(values, bins).tolist() == exact_histogram(values, bins, 0)


def test_a_value_on_an_edge_is_in_the_bin_above_it() -> None:
    assert activation_histogram(np.array([1, 2, 3, 4], np.float32), 4).tolist() == [0, 1, 1, 2]
    # 25 steps of 7 / 50 are 3.5000000000000004 in float64
    assert activation_histogram(np.array([7, 3.5], np.float32), 50).tolist() == [0] * 25 + [1] + [0] * 23 + [1]


def test_logit_effects_are_counted_exactly() -> None:
    rows = np.stack([np.append(beside_edges(low, high, 50), np.float32(low)) for low, high in ((-1.7, 2.3), (-9, 0.1))])
    counts = effect_histograms(rows, 50).tolist()
    assert counts == [exact_histogram(row, 50, float(row.min())) for row in rows]
