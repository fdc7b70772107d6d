from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.inference_host_health_state import (
    InferenceHostHealthState,
    check_inference_host_health_state,
)

T = TypeVar("T", bound="InferenceHostHealth")


@_attrs_define
class InferenceHostHealth:
    """An inference server that requests may go to.

    Attributes:
        name (str): name of the host
        state (InferenceHostHealthState): refused: it refuses the webapp's secret; unknown: the first check has not
            ended
        message (str): the state in words
        model (None | str): id of its model; null unless it is ready
    """

    name: str
    state: InferenceHostHealthState
    message: str
    model: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        state: str = self.state

        message = self.message

        model: None | str
        model = self.model

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "state": state,
                "message": message,
                "model": model,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        state = check_inference_host_health_state(d.pop("state"))

        message = d.pop("message")

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        inference_host_health = cls(
            name=name,
            state=state,
            message=message,
            model=model,
        )

        inference_host_health.additional_properties = d
        return inference_host_health

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
