from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SteerFeature")


@_attrs_define
class SteerFeature:
    """A feature whose decoder row is the steering direction, applied at the source's `steer_hook`.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        source (str): Id of the source, one of `sources` in the capabilities, for example 15-res-4k.
        index (int | str): Index of the feature in its source, from 0; a string of digits is accepted too.
        strength (float): Factor of the direction; multiplied by `strength_multiplier`.
        steering_vector (list[float] | None | Unset): Not supported: any value but null gets status 400. Send own
            directions as `vectors`.
    """

    model: str
    source: str
    index: int | str
    strength: float
    steering_vector: list[float] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        source = self.source

        index: int | str
        index = self.index

        strength = self.strength

        steering_vector: list[float] | None | Unset
        if isinstance(self.steering_vector, Unset):
            steering_vector = UNSET
        elif isinstance(self.steering_vector, list):
            steering_vector = self.steering_vector

        else:
            steering_vector = self.steering_vector

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "source": source,
                "index": index,
                "strength": strength,
            }
        )
        if steering_vector is not UNSET:
            field_dict["steering_vector"] = steering_vector

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model = d.pop("model")

        source = d.pop("source")

        def _parse_index(data: object) -> int | str:
            return cast(int | str, data)

        index = _parse_index(d.pop("index"))

        strength = d.pop("strength")

        def _parse_steering_vector(data: object) -> list[float] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                steering_vector_type_0 = cast(list[float], data)

                return steering_vector_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[float] | None | Unset, data)

        steering_vector = _parse_steering_vector(d.pop("steering_vector", UNSET))

        steer_feature = cls(
            model=model,
            source=source,
            index=index,
            strength=strength,
            steering_vector=steering_vector,
        )

        steer_feature.additional_properties = d
        return steer_feature

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
