from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SteerVector")


@_attrs_define
class SteerVector:
    """A steering direction at a hook point.

    Attributes:
        steering_vector (list[float]): Direction: as many numbers as the hook point is wide.
        strength (float): Factor of the direction; multiplied by `strength_multiplier`.
        hook (str): Name of the hook point: one of `steer_hooks` in the capabilities, for example
            blocks.15.hook_resid_post, or the name of the module, model.layers.15.
    """

    steering_vector: list[float]
    strength: float
    hook: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        steering_vector = self.steering_vector

        strength = self.strength

        hook = self.hook

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "steering_vector": steering_vector,
                "strength": strength,
                "hook": hook,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        steering_vector = cast(list[float], d.pop("steering_vector"))

        strength = d.pop("strength")

        hook = d.pop("hook")

        steer_vector = cls(
            steering_vector=steering_vector,
            strength=strength,
            hook=hook,
        )

        steer_vector.additional_properties = d
        return steer_vector

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
