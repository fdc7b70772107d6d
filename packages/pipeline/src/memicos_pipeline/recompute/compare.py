"""Differences between values that a server shows and values that are recomputed."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from memicos_client.models import Recipe

from memicos_pipeline.recompute.sae import Values

TOLERANCES = {"float32": 1e-3, "float16": 3e-2, "bfloat16": 1.5e-1}
"""Largest difference that counts as agreement, by the coarser dtype of model and SAE; measured: docs/dataset.md."""
SMALL = 1e-2
"""Values below this share of the largest possible value are mostly rounding error: differences are relative to it."""


@dataclass(frozen=True)
class Difference:
    """The largest relative difference of a text, at `position`, where the server has `server_value`.

    `undecided` counts positions so close to a threshold that rounding decides; both values are accepted.
    """

    worst: float
    position: int
    server_value: float
    recomputed: float
    undecided: int


def tolerance_of(recipe: Recipe) -> float:
    """Tolerance of the coarser dtype of model and SAE."""
    return max(TOLERANCES[dtype] for dtype in (recipe.dtype, recipe.sae.dtype if recipe.sae else recipe.dtype))


def difference(
    server_values: np.ndarray, recomputed: Values, counts: np.ndarray, norm_margin: np.ndarray, tolerance: float
) -> Difference:
    """Compare values of a server with recomputed ones.

    Args:
        server_values: values (T,).
        recomputed: values at the same positions.
        counts: (T,) bool; where it is false the value is expected to be 0.
        norm_margin: (T,) relative distance of each position's norm from the norm cut.
        tolerance: positions nearer than this to a threshold or to the norm cut may have either value.
    """
    floor = np.maximum(SMALL * recomputed.size, np.finfo(np.float64).tiny)
    expected = np.where(counts, recomputed.values, 0.0)
    differences = _relative(server_values, expected, floor)
    near_firing = np.abs(recomputed.margin) <= tolerance * np.maximum(recomputed.fired, floor)
    near_cut = np.abs(norm_margin) <= tolerance
    if_fired = _relative(server_values, recomputed.fired, floor)
    if_silent = _relative(server_values, np.zeros_like(server_values), floor)
    # a value near its threshold may be either if the position counts; a position near the norm cut may count or not
    differences = np.where(near_firing & counts, np.minimum(differences, np.minimum(if_fired, if_silent)), differences)
    if_counted = np.minimum(_relative(server_values, recomputed.values, floor), if_silent)
    differences = np.where(near_cut, np.minimum(differences, if_counted), differences)
    position = int(differences.argmax())
    return Difference(
        float(differences[position]),
        position,
        float(server_values[position]),
        float(expected[position]),
        int((near_firing & counts | near_cut).sum()),
    )


def _relative(a: np.ndarray, b: np.ndarray, floor: np.ndarray) -> np.ndarray:
    return np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)


def counted(recipe: Recipe, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each position of `hidden` (T, D) counts (T,), and the relative distance of each norm from the norm cut
    (T,).

    The distance is infinite for positions that do not count whatever their norm is.
    """
    ignored = np.isin(np.arange(len(hidden)), recipe.ignored_positions)
    if recipe.norm_cut is None:
        return ~ignored, np.full(len(hidden), np.inf)
    below = 1 - np.linalg.norm(hidden, axis=1) / recipe.norm_cut
    return ~ignored & (below >= 0), np.where(ignored, np.inf, below)


def counted_differently(
    ignored: Collection[int], counts: np.ndarray, norm_margin: np.ndarray, tolerance: float
) -> list[int]:
    """Positions that the server ignores though they count by the recipe, or the reverse.

    Positions whose norm is within `tolerance` of the norm cut are not included.
    """
    server_counts = ~np.isin(np.arange(len(counts)), list(ignored))
    return np.flatnonzero((server_counts != counts) & (np.abs(norm_margin) > tolerance)).tolist()
