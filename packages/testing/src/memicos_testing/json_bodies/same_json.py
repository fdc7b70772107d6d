"""Equality of two responses up to rounding: a row of a batch is summed in another order than a single request."""

import math
from typing import Any


def alike(actual: Any, expected: Any, rel: float = 1e-4, minimum: float = 1e-4) -> bool:
    """Whether two JSON values are equal, with relative tolerance `rel` and absolute tolerance `minimum` for numbers."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(
            alike(actual[key], expected[key], rel, minimum) for key in actual
        )
    if isinstance(actual, list) and isinstance(expected, list):
        return len(actual) == len(expected) and all(
            alike(a, b, rel, minimum) for a, b in zip(actual, expected, strict=True)
        )
    if isinstance(actual, float) and isinstance(expected, int | float):
        return math.isclose(actual, expected, rel_tol=rel, abs_tol=minimum)
    return actual == expected
