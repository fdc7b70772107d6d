"""How far values that are shown are from values that are recomputed."""

from dataclasses import dataclass

import numpy as np
from memicos_client.models import Recipe

from memicos_pipeline.recompute.sae import Values

TOLERANCES = {"float32": 1e-3, "float16": 3e-2, "bfloat16": 1.5e-1}
"""Largest difference that counts as agreement, by the coarser dtype of model and SAE; measured: docs/dataset.md."""
SMALL = 1e-2
"""Below this share of the largest value that activations of their length could give, values are mostly rounding:
their differences are relative to that share."""


@dataclass(frozen=True)
class Difference:
    """The largest relative difference of a text, at `position`, where `shown` stands against `recomputed`.

    `either` counts positions so near to a threshold that rounding decides: either value is right.
    """

    worst: float
    position: int
    shown: float
    recomputed: float
    either: int


def tolerance_of(recipe: Recipe) -> float:
    return max(TOLERANCES[one] for one in (recipe.dtype, recipe.sae.dtype if recipe.sae else recipe.dtype))


def difference(shown: np.ndarray, found: Values, counts: np.ndarray, edge: np.ndarray, tolerance: float) -> Difference:
    """Of values (T,) that are shown and `found` ones, where `counts` (T,) is false being 0.

    `edge` (T,) is how far, as a share, a position is from counting or not.
    """
    least = np.maximum(SMALL * found.size, np.finfo(np.float64).tiny)
    expected = np.where(counts, found.values, 0.0)
    apart = _apart(shown, expected, least)
    near_firing = np.abs(found.margin) <= tolerance * np.maximum(found.fired, least)
    near_cut = np.abs(edge) <= tolerance
    fired = _apart(shown, found.fired, least)
    silent = _apart(shown, np.zeros_like(shown), least)
    # what is near to firing may fire or not where it counts, what is near to the cut may count or not
    apart = np.where(near_firing & counts, np.minimum(apart, np.minimum(fired, silent)), apart)
    apart = np.where(near_cut, np.minimum(apart, np.minimum(_apart(shown, found.values, least), silent)), apart)
    position = int(apart.argmax())
    return Difference(
        float(apart[position]),
        position,
        float(shown[position]),
        float(expected[position]),
        int((near_firing & counts | near_cut).sum()),
    )


def _apart(a: np.ndarray, b: np.ndarray, least: np.ndarray) -> np.ndarray:
    return np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), least)


def counted(recipe: Recipe, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which positions a dataset has values of (T,), and how far, as a share, each is from the norm cut (T,)."""
    listed = np.isin(np.arange(len(hidden)), recipe.ignored_positions)
    if recipe.norm_cut is None:
        return ~listed, np.full(len(hidden), np.inf)
    below = 1 - np.linalg.norm(hidden, axis=1) / recipe.norm_cut
    return ~listed & (below >= 0), np.where(listed, np.inf, below)
