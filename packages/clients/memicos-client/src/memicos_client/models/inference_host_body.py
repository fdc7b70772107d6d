from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.inference_host_body_state import (
    InferenceHostBodyState,
    check_inference_host_body_state,
)

T = TypeVar("T", bound="InferenceHostBody")


@_attrs_define
class InferenceHostBody:
    """An inference host and its state.

    Attributes:
        name (str): name of the host: 1 to 63 lower-case letters, digits and hyphens
        url (str): address of the server: http(s)://host[:port][/path], without user, password or query
        secret_variable (None | str): name of the webapp's environment variable with the server's secret,
            INFERENCE_SECRET or INFERENCE_SECRET_…; null: it needs none
        enabled (bool): whether requests may go to it
        configured (bool): whether it comes from INFERENCE_URL or MEMICOS_INFERENCE_HOSTS, which alone change its URL
        state (InferenceHostBodyState): refused: it refuses the webapp's secret; unknown: the first check has not ended
        message (str): the state in words
        model (None | str): id of its model; null unless it is ready
        sources (list[str]): ids of the sources that it has; empty unless it is ready
        load (int | None): requests in progress on it: this webapp's now, others at its last check; null unless it is
            ready
    """

    name: str
    url: str
    secret_variable: None | str
    enabled: bool
    configured: bool
    state: InferenceHostBodyState
    message: str
    model: None | str
    sources: list[str]
    load: int | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        url = self.url

        secret_variable: None | str
        secret_variable = self.secret_variable

        enabled = self.enabled

        configured = self.configured

        state: str = self.state

        message = self.message

        model: None | str
        model = self.model

        sources = self.sources

        load: int | None
        load = self.load

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "url": url,
                "secretVariable": secret_variable,
                "enabled": enabled,
                "configured": configured,
                "state": state,
                "message": message,
                "model": model,
                "sources": sources,
                "load": load,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        url = d.pop("url")

        def _parse_secret_variable(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        secret_variable = _parse_secret_variable(d.pop("secretVariable"))

        enabled = d.pop("enabled")

        configured = d.pop("configured")

        state = check_inference_host_body_state(d.pop("state"))

        message = d.pop("message")

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        sources = cast(list[str], d.pop("sources"))

        def _parse_load(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        load = _parse_load(d.pop("load"))

        inference_host_body = cls(
            name=name,
            url=url,
            secret_variable=secret_variable,
            enabled=enabled,
            configured=configured,
            state=state,
            message=message,
            model=model,
            sources=sources,
            load=load,
        )

        inference_host_body.additional_properties = d
        return inference_host_body

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
