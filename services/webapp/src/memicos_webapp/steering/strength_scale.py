"""The slider of a feature's strength: default, range and marks for each steering method.

SIMPLE_ADDITIVE adds strength x the unit decoder direction, so strengths are measured against the norm of the residual
stream at the source's hook. The shares below were chosen from texts of the demo's model; docs/performance.md has the
figures (benchmarks/steering_strength.py). ORTHOGONAL_DECOMP multiplies the component along the direction, so its
strengths are factors and need no norm.
"""

import math
from dataclasses import dataclass
from typing import get_args

from memicos_webapp.steering.schemas import SteerMethod

METHODS: tuple[SteerMethod, ...] = get_args(SteerMethod)

CLEAR_FROM = 0.3
"""Share of the residual norm from which steering has a visible effect in most texts."""
DEFAULT_SHARE = 0.45
BREAKS_FROM = 0.8
"""Share of the residual norm from which texts become incoherent; at twice this share nearly all are."""
LIMIT_SHARE = 1.2
"""Share of the residual norm at the ends of the slider."""

DEFAULT_FACTOR = 3.0
FACTOR_LIMIT = 10.0
"""Default and ends of the slider of ORTHOGONAL_DECOMP."""

UNKNOWN_NORM_DEFAULT = 10.0
"""Default of a feature that never fires, where no norm is known."""


@dataclass(frozen=True)
class Mark:
    """A labelled point of a slider; `position` is in percent of its length."""

    position: float
    label: str


@dataclass(frozen=True)
class Zone:
    """A part of a slider, in percent of its length. Only those of positive strengths have a label."""

    start: float
    end: float
    name: str
    label: str

    @property
    def width(self) -> float:
        return round(self.end - self.start, 3)

    @property
    def middle(self) -> float:
        return round((self.start + self.end) / 2, 3)


@dataclass(frozen=True)
class StrengthScale:
    """The slider of one method, from -`limit` to `limit`.

    `note` explains the unit, and from which strength texts become incoherent.
    """

    method: SteerMethod
    default: float
    limit: float
    step: float
    note: str
    marks: tuple[Mark, ...]
    zones: tuple[Zone, ...] = ()


def default_strength(max_activation: float, residual_norm: float | None) -> float:
    """The strength of SIMPLE_ADDITIVE for a feature without one, at two digits.

    `DEFAULT_SHARE` of the residual stream's norm; where that is not known three times the feature's largest activation,
    and `UNKNOWN_NORM_DEFAULT` for a feature that never fires.
    """
    if residual_norm is not None:
        return _rounded(DEFAULT_SHARE * residual_norm)
    return _rounded(3 * max_activation) if max_activation > 0 else UNKNOWN_NORM_DEFAULT


def strength_scales(
    max_activation: float, residual_norm: float | None, max_strength: float, method: SteerMethod, strength: float | None
) -> tuple[StrengthScale, ...]:
    """The scales of all methods.

    Args:
        max_strength: The largest strength that the server accepts.
        method: The method that `strength` is for: its slider reaches at least that far.
        strength: A strength that a link asks for.
    """
    reach = {name: abs(strength) if strength is not None and name == method else 0.0 for name in METHODS}
    return (
        _additive(max_activation, residual_norm, max_strength, reach["SIMPLE_ADDITIVE"]),
        _factors(max_strength, reach["ORTHOGONAL_DECOMP"]),
    )


def vector_scales(
    default: float | None, length: float, max_strength: float, method: SteerMethod, strength: float | None
) -> tuple[StrengthScale, ...]:
    """The scales of a vector, whose strength multiplies the vector as it was uploaded.

    Args:
        default: The strength that its owner proposes, None: `UNKNOWN_NORM_DEFAULT`.
        length: The vector's L2 norm.
        max_strength, method, strength: As in `strength_scales`.
    """
    reach = {name: abs(strength) if strength is not None and name == method else 0.0 for name in METHODS}
    proposed = UNKNOWN_NORM_DEFAULT if default is None else default
    furthest = max(3 * abs(proposed), UNKNOWN_NORM_DEFAULT, reach["SIMPLE_ADDITIVE"])
    limit, step = _range(furthest, max_strength)
    note = f"Adds strength × the vector, whose length is {length:.3g}, to the activation at its hook point"
    additive = StrengthScale("SIMPLE_ADDITIVE", proposed, limit, step, note, (Mark(50, "0"),))
    return additive, _factors(max_strength, reach["ORTHOGONAL_DECOMP"])


def _additive(max_activation: float, norm: float | None, max_strength: float, reach: float) -> StrengthScale:
    default = default_strength(max_activation, norm)
    limit, step = _range(max(LIMIT_SHARE * norm if norm else 3 * default, default, reach), max_strength)
    zero = Mark(50, "0")
    if norm is None:
        note = (
            "Added to the residual stream; its norm at this source is not known, so the default is three times the "
            "feature's largest activation, which may be too much"
        )
        return StrengthScale("SIMPLE_ADDITIVE", default, limit, step, note, (zero,))
    clear, breaks = CLEAR_FROM * norm, BREAKS_FROM * norm
    note = (
        f"Added to the residual stream, whose median norm here is {_rounded(norm, 3):g}: a clear effect from about "
        f"{_rounded(clear):g}, incoherent text from about {_rounded(breaks):g}"
    )
    edges = [("weak", 0.0, clear), ("clear", clear, breaks), ("breaks", breaks, limit)]
    zones = [Zone(_percent(low, limit), _percent(high, limit), name, name) for name, low, high in edges if high > low]
    mirrored = [Zone(round(100 - zone.end, 3), round(100 - zone.start, 3), zone.name, "") for zone in zones]
    return StrengthScale("SIMPLE_ADDITIVE", default, limit, step, note, (zero,), (*mirrored, *zones))


def _factors(max_strength: float, reach: float) -> StrengthScale:
    limit, step = _range(max(FACTOR_LIMIT, reach), max_strength)
    marks = [Mark(50, "0"), Mark(_percent(1, limit), "")]
    note = "Factor of the component along the feature's direction: 0 removes it, 1 changes nothing"
    return StrengthScale("ORTHOGONAL_DECOMP", min(DEFAULT_FACTOR, max_strength), limit, step, note, tuple(marks))


def _range(reach: float, max_strength: float) -> tuple[float, float]:
    """The end of a slider that reaches `reach`, and a round step of about a hundredth of it."""
    limit = min(max_strength, reach)
    step = 10 ** math.floor(math.log10(limit / 100)) if limit else 1
    return math.ceil(limit / step) * step, step


def _percent(value: float, limit: float) -> float:
    """The position of `value` on a slider from -`limit` to `limit`."""
    return round(50 + 50 * min(value, limit) / limit, 3)


def _rounded(value: float, digits: int = 2) -> float:
    return float(f"{value:.{digits}g}")
