from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="AddSourcesRequest")


@_attrs_define
class AddSourcesRequest:
    """Sources to add.

    Attributes:
        spec (str): Sources to add, in the form of an entry of the setting SAE_SETS: a set's name,
            saelens:<release>[/<sae_id>], path:<folder>, hf:<owner>/<name>[/<folder>] or neurons; a folder can be followed
            by @<format>.
    """

    spec: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        spec = self.spec

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "spec": spec,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        spec = d.pop("spec")

        add_sources_request = cls(
            spec=spec,
        )

        add_sources_request.additional_properties = d
        return add_sources_request

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
