from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ExplanationSummary")


@_attrs_define
class ExplanationSummary:
    """An explanation of a feature, in short.

    Attributes:
        description (str): text of the explanation
        type_name (str): method that made the explanation, such as eleuther_acts_top20
        explanation_model_name (None | str): language model that wrote it; null where none did
    """

    description: str
    type_name: str
    explanation_model_name: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        description = self.description

        type_name = self.type_name

        explanation_model_name: None | str
        explanation_model_name = self.explanation_model_name

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "description": description,
                "typeName": type_name,
                "explanationModelName": explanation_model_name,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        description = d.pop("description")

        type_name = d.pop("typeName")

        def _parse_explanation_model_name(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        explanation_model_name = _parse_explanation_model_name(d.pop("explanationModelName"))

        explanation_summary = cls(
            description=description,
            type_name=type_name,
            explanation_model_name=explanation_model_name,
        )

        explanation_summary.additional_properties = d
        return explanation_summary

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
