from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.feature_id import FeatureId


T = TypeVar("T", bound="NewActivation")


@_attrs_define
class NewActivation:
    """
    Attributes:
        custom_text (list[str] | str): one text, or up to four
        feature (FeatureId | None | Unset):
        neuron (FeatureId | None | Unset): the older name of `feature`
        ignore_bos (bool | Unset): leave the recipe's ignored positions out of the maximum Default: False.
    """

    custom_text: list[str] | str
    feature: FeatureId | None | Unset = UNSET
    neuron: FeatureId | None | Unset = UNSET
    ignore_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.feature_id import FeatureId  # noqa: PLC0415

        custom_text: list[str] | str
        if isinstance(self.custom_text, list):
            custom_text = self.custom_text

        else:
            custom_text = self.custom_text

        feature: dict[str, Any] | None | Unset
        if isinstance(self.feature, Unset):
            feature = UNSET
        elif isinstance(self.feature, FeatureId):
            feature = self.feature.to_dict()
        else:
            feature = self.feature

        neuron: dict[str, Any] | None | Unset
        if isinstance(self.neuron, Unset):
            neuron = UNSET
        elif isinstance(self.neuron, FeatureId):
            neuron = self.neuron.to_dict()
        else:
            neuron = self.neuron

        ignore_bos = self.ignore_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "customText": custom_text,
            }
        )
        if feature is not UNSET:
            field_dict["feature"] = feature
        if neuron is not UNSET:
            field_dict["neuron"] = neuron
        if ignore_bos is not UNSET:
            field_dict["ignoreBos"] = ignore_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.feature_id import FeatureId  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_custom_text(data: object) -> list[str] | str:
            try:
                if not isinstance(data, list):
                    raise TypeError()
                custom_text_type_1 = cast(list[str], data)

                return custom_text_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | str, data)

        custom_text = _parse_custom_text(d.pop("customText"))

        def _parse_feature(data: object) -> FeatureId | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                feature_type_0 = FeatureId.from_dict(data)

                return feature_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FeatureId | None | Unset, data)

        feature = _parse_feature(d.pop("feature", UNSET))

        def _parse_neuron(data: object) -> FeatureId | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                neuron_type_0 = FeatureId.from_dict(data)

                return neuron_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FeatureId | None | Unset, data)

        neuron = _parse_neuron(d.pop("neuron", UNSET))

        ignore_bos = d.pop("ignoreBos", UNSET)

        new_activation = cls(
            custom_text=custom_text,
            feature=feature,
            neuron=neuron,
            ignore_bos=ignore_bos,
        )

        new_activation.additional_properties = d
        return new_activation

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
