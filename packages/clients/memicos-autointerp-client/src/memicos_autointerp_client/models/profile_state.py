from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ProfileState")


@_attrs_define
class ProfileState:
    """A provider of this server.

    Attributes:
        name (str): name, for `profile` of requests
        models (list[str]): models for requests without a key of their own, the default one first
        has_key (bool): whether requests without a key of their own are answered
        base_url (None | str): where keys for it are sent; null where the server has a secret that the request does not
            send
    """

    name: str
    models: list[str]
    has_key: bool
    base_url: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        models = self.models

        has_key = self.has_key

        base_url: None | str
        base_url = self.base_url

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "models": models,
                "has_key": has_key,
                "base_url": base_url,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        models = cast(list[str], d.pop("models"))

        has_key = d.pop("has_key")

        def _parse_base_url(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        base_url = _parse_base_url(d.pop("base_url"))

        profile_state = cls(
            name=name,
            models=models,
            has_key=has_key,
            base_url=base_url,
        )

        profile_state.additional_properties = d
        return profile_state

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
