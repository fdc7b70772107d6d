from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.profile_state import ProfileState


T = TypeVar("T", bound="HealthResponse")


@_attrs_define
class HealthResponse:
    """State of the server.

    Attributes:
        status (str): always healthy
        model (str): explainer model for requests that name none
        models (list[str]): explainer models for requests without a key of their own
        has_key (bool): whether the server has a key of its own; without one, each request must send one
        explainers (list[str]): methods of explaining, the default one first
        profiles (list[ProfileState]): the server's providers, the default one first
    """

    status: str
    model: str
    models: list[str]
    has_key: bool
    explainers: list[str]
    profiles: list[ProfileState]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        model = self.model

        models = self.models

        has_key = self.has_key

        explainers = self.explainers

        profiles = []
        for profiles_item_data in self.profiles:
            profiles_item = profiles_item_data.to_dict()
            profiles.append(profiles_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "model": model,
                "models": models,
                "has_key": has_key,
                "explainers": explainers,
                "profiles": profiles,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.profile_state import ProfileState  # noqa: PLC0415

        d = dict(src_dict)
        status = d.pop("status")

        model = d.pop("model")

        models = cast(list[str], d.pop("models"))

        has_key = d.pop("has_key")

        explainers = cast(list[str], d.pop("explainers"))

        profiles = []
        _profiles = d.pop("profiles")
        for profiles_item_data in _profiles:
            profiles_item = ProfileState.from_dict(profiles_item_data)

            profiles.append(profiles_item)

        health_response = cls(
            status=status,
            model=model,
            models=models,
            has_key=has_key,
            explainers=explainers,
            profiles=profiles,
        )

        health_response.additional_properties = d
        return health_response

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
