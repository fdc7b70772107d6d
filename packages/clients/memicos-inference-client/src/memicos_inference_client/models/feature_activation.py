from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="FeatureActivation")


@_attrs_define
class FeatureActivation:
    """
    Attributes:
        source (str):
        index (int):
        values (list[float]): one a token
        max_value (float): over the positions that count
        max_value_index (int):
        sum_values (float | None | Unset): what was ranked by, where sort_by_token_indexes was given; null otherwise
    """

    source: str
    index: int
    values: list[float]
    max_value: float
    max_value_index: int
    sum_values: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        source = self.source

        index = self.index

        values = self.values

        max_value = self.max_value

        max_value_index = self.max_value_index

        sum_values: float | None | Unset
        if isinstance(self.sum_values, Unset):
            sum_values = UNSET
        else:
            sum_values = self.sum_values

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "source": source,
                "index": index,
                "values": values,
                "max_value": max_value,
                "max_value_index": max_value_index,
            }
        )
        if sum_values is not UNSET:
            field_dict["sum_values"] = sum_values

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        source = d.pop("source")

        index = d.pop("index")

        values = cast(list[float], d.pop("values"))

        max_value = d.pop("max_value")

        max_value_index = d.pop("max_value_index")

        def _parse_sum_values(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        sum_values = _parse_sum_values(d.pop("sum_values", UNSET))

        feature_activation = cls(
            source=source,
            index=index,
            values=values,
            max_value=max_value,
            max_value_index=max_value_index,
            sum_values=sum_values,
        )

        feature_activation.additional_properties = d
        return feature_activation

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
