from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="TopFeature")


@_attrs_define
class TopFeature:
    """A feature and its activation at a token.

    Attributes:
        feature_index (int): Index of the feature in its source, from 0.
        activation_value (float): Activation of the feature at the token.
    """

    feature_index: int
    activation_value: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        feature_index = self.feature_index

        activation_value = self.activation_value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "feature_index": feature_index,
                "activation_value": activation_value,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        feature_index = d.pop("feature_index")

        activation_value = d.pop("activation_value")

        top_feature = cls(
            feature_index=feature_index,
            activation_value=activation_value,
        )

        top_feature.additional_properties = d
        return top_feature

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
