from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.neuron_body import NeuronBody


T = TypeVar("T", bound="TopFeature")


@_attrs_define
class TopFeature:
    """A feature that is active at a token.

    Attributes:
        activation_value (float): activation of the feature at the token
        feature_index (int): index of the feature in its source, 0 is the first
        feature (NeuronBody | None | Unset): null where the feature was not imported
    """

    activation_value: float
    feature_index: int
    feature: NeuronBody | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.neuron_body import NeuronBody  # noqa: PLC0415

        activation_value = self.activation_value

        feature_index = self.feature_index

        feature: dict[str, Any] | None | Unset
        if isinstance(self.feature, Unset):
            feature = UNSET
        elif isinstance(self.feature, NeuronBody):
            feature = self.feature.to_dict()
        else:
            feature = self.feature

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activationValue": activation_value,
                "featureIndex": feature_index,
            }
        )
        if feature is not UNSET:
            field_dict["feature"] = feature

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.neuron_body import NeuronBody  # noqa: PLC0415

        d = dict(src_dict)
        activation_value = d.pop("activationValue")

        feature_index = d.pop("featureIndex")

        def _parse_feature(data: object) -> NeuronBody | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                feature_type_0 = NeuronBody.from_dict(data)

                return feature_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(NeuronBody | None | Unset, data)

        feature = _parse_feature(d.pop("feature", UNSET))

        top_feature = cls(
            activation_value=activation_value,
            feature_index=feature_index,
            feature=feature,
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
