from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SourceSetBody")


@_attrs_define
class SourceSetBody:
    """The SAEs of one training run.

    Attributes:
        model_id (str): id of the model
        name (str): name of the source set
        description (str): what the set is
        release_name (str): name of the release that published it
    """

    model_id: str
    name: str
    description: str
    release_name: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        name = self.name

        description = self.description

        release_name = self.release_name

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "name": name,
                "description": description,
                "releaseName": release_name,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model_id = d.pop("modelId")

        name = d.pop("name")

        description = d.pop("description")

        release_name = d.pop("releaseName")

        source_set_body = cls(
            model_id=model_id,
            name=name,
            description=description,
            release_name=release_name,
        )

        source_set_body.additional_properties = d
        return source_set_body

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
