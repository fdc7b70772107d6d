"""Equality of two responses up to rounding: a row of a batch is summed in another order than a single request."""

import math
from typing import Any


def alike(here: Any, there: Any, rel: float = 1e-4, least: float = 1e-4) -> bool:
    """Whether two JSON values are equal, with relative tolerance `rel` and absolute tolerance `least` for numbers."""
    if isinstance(here, dict) and isinstance(there, dict):
        return here.keys() == there.keys() and all(alike(here[key], there[key], rel, least) for key in here)
    if isinstance(here, list) and isinstance(there, list):
        return len(here) == len(there) and all(alike(a, b, rel, least) for a, b in zip(here, there, strict=True))
    if isinstance(here, float) and isinstance(there, int | float):
        return math.isclose(here, there, rel_tol=rel, abs_tol=least)
    return here == there
