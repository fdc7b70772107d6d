from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SingleActivation")


@_attrs_define
class SingleActivation:
    """
    Attributes:
        values (list[float]): one a token
        max_value (float):
        max_value_index (int): the first position with max_value
    """

    values: list[float]
    max_value: float
    max_value_index: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        values = self.values

        max_value = self.max_value

        max_value_index = self.max_value_index

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "values": values,
                "max_value": max_value,
                "max_value_index": max_value_index,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        values = cast(list[float], d.pop("values"))

        max_value = d.pop("max_value")

        max_value_index = d.pop("max_value_index")

        single_activation = cls(
            values=values,
            max_value=max_value,
            max_value_index=max_value_index,
        )

        single_activation.additional_properties = d
        return single_activation

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
