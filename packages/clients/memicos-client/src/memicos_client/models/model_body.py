from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ModelBody")


@_attrs_define
class ModelBody:
    """A language model.

    Attributes:
        id (str): id of the model
        display_name (str): name of the model for people
        layers (int): number of layers
        instruct (bool): whether the model is instruction-tuned
        origin (str): where the weights come from
        license_ (str): licence of the weights
    """

    id: str
    display_name: str
    layers: int
    instruct: bool
    origin: str
    license_: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        display_name = self.display_name

        layers = self.layers

        instruct = self.instruct

        origin = self.origin

        license_ = self.license_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "displayName": display_name,
                "layers": layers,
                "instruct": instruct,
                "origin": origin,
                "license": license_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        display_name = d.pop("displayName")

        layers = d.pop("layers")

        instruct = d.pop("instruct")

        origin = d.pop("origin")

        license_ = d.pop("license")

        model_body = cls(
            id=id,
            display_name=display_name,
            layers=layers,
            instruct=instruct,
            origin=origin,
            license_=license_,
        )

        model_body.additional_properties = d
        return model_body

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
