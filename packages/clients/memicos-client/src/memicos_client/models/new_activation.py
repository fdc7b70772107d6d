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
        feature (FeatureId): A feature, with the field names of all published clients.
        custom_text (list[str] | str): one text, or a list, at most 4 (setting MEMICOS_TEXTS_AT_ONCE)
        ignore_bos (bool | Unset): leave the recipe's ignored positions out of the maximum Default: False.
    """

    feature: FeatureId
    custom_text: list[str] | str
    ignore_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        feature = self.feature.to_dict()

        custom_text: list[str] | str
        if isinstance(self.custom_text, list):
            custom_text = self.custom_text

        else:
            custom_text = self.custom_text

        ignore_bos = self.ignore_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "feature": feature,
                "customText": custom_text,
            }
        )
        if ignore_bos is not UNSET:
            field_dict["ignoreBos"] = ignore_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.feature_id import FeatureId  # noqa: PLC0415

        d = dict(src_dict)
        feature = FeatureId.from_dict(d.pop("feature"))

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

        ignore_bos = d.pop("ignoreBos", UNSET)

        new_activation = cls(
            feature=feature,
            custom_text=custom_text,
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
