"""Steering: change a model's activations along directions during its forward passes.

With h the activation at a position, v the direction, u = v / |v| and c the strength: SIMPLE_ADDITIVE gives h + c v;
ORTHOGONAL_DECOMP multiplies h's component along v by c, h + (c - 1) (h.u) u; PROJECTION_CAP keeps that component from
exceeding c, h + (min(h.u, c) - h.u) u.
Each direction acts once, at its own hook. Directions at the same activations (`hook_resid_pre` of a layer is
`hook_resid_post` of the layer before) are applied in their order, each to the result of the one before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, assert_never, get_args

import torch

from memicos_engine.errors import InvalidRequestError
from memicos_engine.model import hook_points
from memicos_engine.model.hook_modules import HookModule
from memicos_engine.model.hook_names import canonical_hook_name
from memicos_engine.model.language_model import LanguageModel

Method = Literal["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP", "PROJECTION_CAP"]
METHODS: tuple[Method, ...] = get_args(Method)

_ActivationChange = Callable[[torch.Tensor], torch.Tensor]
"""Maps a row's activations (T, D) to those that replace them."""


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """A direction (D,) with its strength at a hook; kept as float32 on the CPU.

    `hook` is the name of a hook point or of a module, and is kept as `canonical_hook_name` gives it.

    Raises:
        InvalidRequestError: the method is unknown, numbers are not finite, or the vector is zero and the method needs
            its direction.
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
        # a copy: a view of a source's weights would keep all of them in memory
        direction = torch.as_tensor(vector, dtype=torch.float32, device="cpu").detach().clone()
        step = strength * (direction if method == "SIMPLE_ADDITIVE" else torch.ones(1))
        if not (direction.isfinite().all() and step.isfinite().all()):
            raise InvalidRequestError(f"The direction at {hook} times its strength is not finite in float32.")
        if method != "SIMPLE_ADDITIVE":
            _check_nonzero(direction, hook)
        object.__setattr__(self, "hook", canonical_hook_name(hook))
        object.__setattr__(self, "vector", direction)
        object.__setattr__(self, "strength", strength)
        object.__setattr__(self, "method", method)

    def normalized(self) -> "SteeringVector":
        """A copy with the direction scaled to length 1. Raises InvalidRequestError for a zero vector."""
        _check_nonzero(self.vector, self.hook)
        return SteeringVector(self.hook, _normalize(self.vector), self.strength, self.method)


SteeringPlan = Mapping[HookModule, Sequence[_ActivationChange]]
"""The changes of a row's activations, by module."""


def steering_plan(model: LanguageModel, steers: Sequence[SteeringVector]) -> SteeringPlan:
    """The changes that `steers` make, by module, with directions on the model's device.

    Raises:
        InvalidRequestError: a hook cannot be steered, or a direction has another width than the activations there, or
            is too long.
    """
    by_module: dict[HookModule, list[SteeringVector]] = {}
    for steer in steers:
        module, width = hook_points.steering_module(model, steer.hook)
        hook_points.check_width(steer.hook, "The steering vector", len(steer.vector), width)
        _check_square(steer)
        by_module.setdefault(module, []).append(steer)
    return {module: _module_changes(vectors, model.device) for module, vectors in by_module.items()}


@contextmanager
def apply_steering(rows: Sequence[SteeringPlan], positions: torch.Tensor | None = None) -> Iterator[None]:
    """Steer the rows of a batch in every forward pass inside the context.

    `positions` (B, T) marks the positions that are steered; None: all.
    """
    by_module: dict[HookModule, dict[int, Sequence[_ActivationChange]]] = {}
    for row, plan in enumerate(rows):
        for module, changes in plan.items():
            by_module.setdefault(module, {})[row] = changes
    handles = []
    try:
        for module, changes_by_row in by_module.items():
            handles += module.add_hook(partial(_apply_changes, rows=changes_by_row, positions=positions))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _module_changes(steers: Sequence[SteeringVector], device: torch.device) -> list[_ActivationChange]:
    """One change per direction; consecutive additive directions are summed into one change."""
    changes: list[_ActivationChange] = []
    total: torch.Tensor | None = None
    for steer in steers:
        if steer.method == "SIMPLE_ADDITIVE":
            step = steer.strength * steer.vector
            total = step if total is None else total + step
            continue
        if total is not None:
            changes.append(partial(_add, step=total.to(device)))
            total = None
        unit = _normalize(steer.vector).to(device)
        if steer.method == "ORTHOGONAL_DECOMP":
            changes.append(partial(_scale_component, unit=unit, extra=steer.strength - 1))
        elif steer.method == "PROJECTION_CAP":
            changes.append(partial(_cap_component, unit=unit, limit=steer.strength))
        else:
            assert_never(steer.method)
    if total is not None:
        changes.append(partial(_add, step=total.to(device)))
    return changes


def _apply_changes(
    hidden: torch.Tensor, rows: Mapping[int, Sequence[_ActivationChange]], positions: torch.Tensor | None
) -> torch.Tensor:
    """`hidden` (B, T, D) with the changes of `rows` applied at `positions`."""
    result = hidden.clone()
    for row, changes in rows.items():
        changed = hidden[row]
        for change in changes:
            changed = change(changed)
        result[row] = changed if positions is None else torch.where(positions[row, :, None], changed, hidden[row])
    return result


def _add(hidden: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    return hidden + step.to(hidden.dtype)


def _scale_component(hidden: torch.Tensor, unit: torch.Tensor, extra: float) -> torch.Tensor:
    along = hidden.float() @ unit
    return hidden + (extra * along[:, None] * unit).to(hidden.dtype)


def _cap_component(hidden: torch.Tensor, unit: torch.Tensor, limit: float) -> torch.Tensor:
    above = (hidden.float() @ unit - limit).clamp(min=0)
    return hidden - (above[:, None] * unit).to(hidden.dtype)


def _normalize(vector: torch.Tensor) -> torch.Tensor:
    precise = vector.double()  # squares of very small or large float32 numbers under- or overflow
    return (precise / precise.norm()).float()


def _check_square(steer: SteeringVector) -> None:
    """Raises InvalidRequestError if the square overflows: norms would be infinite, and all tokens equally likely."""
    step = steer.strength * (steer.vector if steer.method == "SIMPLE_ADDITIVE" else torch.ones(1))
    if steer.method != "PROJECTION_CAP" and not step.square().sum().isfinite():  # a cap only reduces activations
        raise InvalidRequestError(
            f"The direction at {steer.hook} times its strength is so long that its square is not finite."
        )


def _check_nonzero(vector: torch.Tensor, hook: str) -> None:
    if not vector.any():
        raise InvalidRequestError(f"The steering vector at {hook} is zero and has no direction.")
