"""Directions that change a model's activations as it runs.

With h the activation at a position, v the direction, u = v / |v| and c the strength: SIMPLE_ADDITIVE gives h + c v;
ORTHOGONAL_DECOMP multiplies h's component along v by c, h + (c - 1) (h.u) u; PROJECTION_CAP keeps that component from
exceeding c, h + (min(h.u, c) - h.u) u.
Each direction acts once, at its own hook. Those at one place (`hook_resid_pre` of a layer is `hook_resid_post` of the
one before) act in the order given, each on what the one before it left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model import hook_points
from memicos_engine.model.hook_modules import HookModule
from memicos_engine.model.language_model import LanguageModel

Method = Literal["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP", "PROJECTION_CAP"]
METHODS: tuple[Method, ...] = get_args(Method)

_ActivationChange = Callable[[torch.Tensor], torch.Tensor]
"""From activations (T, D) of a row to what takes their place."""


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """A direction (D,) with its strength at a hook; kept as float32 on the CPU.

    Raises:
        InvalidRequestError: an unknown method, numbers that are not finite, or a zero vector where its direction
            counts.
    """

    hook: str
    vector: torch.Tensor
    strength: float
    method: Method = "SIMPLE_ADDITIVE"

    def __init__(
        self, hook: str, vector: torch.Tensor | Sequence[float], strength: float, method: Method = "SIMPLE_ADDITIVE"
    ) -> None:
        if method not in METHODS:
            raise InvalidRequestError(f"Unknown steering method '{method}'; there are {', '.join(METHODS)}.")
        # a copy: a row of a source's weights would keep all of them in memory
        kept = torch.as_tensor(vector, dtype=torch.float32, device="cpu").detach().clone()
        used = strength * (kept if method == "SIMPLE_ADDITIVE" else torch.ones(1))
        if not (kept.isfinite().all() and used.isfinite().all()):
            raise InvalidRequestError(f"The direction at {hook} times its strength is not finite in float32.")
        if method != "SIMPLE_ADDITIVE":
            _check_nonzero(kept, hook)
        object.__setattr__(self, "hook", hook)
        object.__setattr__(self, "vector", kept)
        object.__setattr__(self, "strength", strength)
        object.__setattr__(self, "method", method)

    def normalized(self) -> "SteeringVector":
        """With the direction scaled to length 1. Raises InvalidRequestError for a zero vector."""
        _check_nonzero(self.vector, self.hook)
        return SteeringVector(self.hook, _normalize(self.vector), self.strength, self.method)


SteeringPlan = Mapping[HookModule, Sequence[_ActivationChange]]
"""What a row is steered with, by place."""


def steering_plan(model: LanguageModel, steers: Sequence[SteeringVector]) -> SteeringPlan:
    """Directions on the model's device, by their places.

    Raises:
        InvalidRequestError: a hook that cannot be steered, a direction of another width than the activations there,
            or too long.
    """
    by_place: dict[HookModule, list[SteeringVector]] = {}
    for steer in steers:
        place, width = hook_points.steering_module(model, steer.hook)
        hook_points.check_width(steer.hook, "The steering vector", len(steer.vector), width)
        _check_square(steer)
        by_place.setdefault(place, []).append(steer)
    return {place: _module_changes(here, model.device) for place, here in by_place.items()}


@contextmanager
def apply_steering(rows: Sequence[SteeringPlan], where: torch.Tensor | None = None) -> Iterator[None]:
    """Steer the rows of a batch in every run inside; `where` (B, T) says at which positions, None at all."""
    by_place: dict[HookModule, dict[int, Sequence[_ActivationChange]]] = {}
    for row, by in enumerate(rows):
        for place, here in by.items():
            by_place.setdefault(place, {})[row] = here
    handles = []
    try:
        for place, found in by_place.items():
            handles += place.add_hook(partial(_apply_changes, rows=found, where=where))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _module_changes(steers: Sequence[SteeringVector], device: torch.device) -> list[_ActivationChange]:
    """One change a direction, but additive ones that follow one another become one."""
    found: list[_ActivationChange] = []
    total: torch.Tensor | None = None
    for steer in steers:
        if steer.method == "SIMPLE_ADDITIVE":
            step = steer.strength * steer.vector
            total = step if total is None else total + step
            continue
        if total is not None:
            found.append(partial(_add, step=total.to(device)))
            total = None
        unit = _normalize(steer.vector).to(device)
        if steer.method == "ORTHOGONAL_DECOMP":
            found.append(partial(_scale_component, unit=unit, extra=steer.strength - 1))
        else:
            found.append(partial(_cap_component, unit=unit, most=steer.strength))
    if total is not None:
        found.append(partial(_add, step=total.to(device)))
    return found


def _apply_changes(
    hidden: torch.Tensor, rows: Mapping[int, Sequence[_ActivationChange]], where: torch.Tensor | None
) -> torch.Tensor:
    """`hidden` (B, T, D) with each of `rows` changed at `where`."""
    result = hidden.clone()
    for row, changes in rows.items():
        here = hidden[row]
        for change in changes:
            here = change(here)
        result[row] = here if where is None else torch.where(where[row, :, None], here, hidden[row])
    return result


def _add(hidden: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    return hidden + step.to(hidden.dtype)


def _scale_component(hidden: torch.Tensor, unit: torch.Tensor, extra: float) -> torch.Tensor:
    along = hidden.float() @ unit
    return hidden + (extra * along[:, None] * unit).to(hidden.dtype)


def _cap_component(hidden: torch.Tensor, unit: torch.Tensor, most: float) -> torch.Tensor:
    above = (hidden.float() @ unit - most).clamp(min=0)
    return hidden - (above[:, None] * unit).to(hidden.dtype)


def _normalize(vector: torch.Tensor) -> torch.Tensor:
    precise = vector.double()  # the square of a small or large float32 is none
    return (precise / precise.norm()).float()


def _check_square(steer: SteeringVector) -> None:
    """Norms square what they get: where that overflows they give zeros, and any token is as likely as any other."""
    step = steer.strength * (steer.vector if steer.method == "SIMPLE_ADDITIVE" else torch.ones(1))
    if steer.method != "PROJECTION_CAP" and not step.square().sum().isfinite():  # a cap only takes away
        raise InvalidRequestError(
            f"The direction at {steer.hook} times its strength is so long that its square is not finite."
        )


def _check_nonzero(vector: torch.Tensor, hook: str) -> None:
    if not vector.any():
        raise InvalidRequestError(f"The steering vector at {hook} is zero and has no direction.")
