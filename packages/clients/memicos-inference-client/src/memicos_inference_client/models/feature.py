from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Feature")


@_attrs_define
class Feature:
    """Identifies a feature.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        source (str): Id of the source, one of `sources` in the capabilities, for example 15-res-4k.
        index (int | str): Index of the feature in its source, from 0; a string of digits is accepted too.
    """

    model: str
    source: str
    index: int | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        source = self.source

        index: int | str
        index = self.index

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "source": source,
                "index": index,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model = d.pop("model")

        source = d.pop("source")

        def _parse_index(data: object) -> int | str:
            return cast(int | str, data)

        index = _parse_index(d.pop("index"))

        feature = cls(
            model=model,
            source=source,
            index=index,
        )

        feature.additional_properties = d
        return feature

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
