from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ChangeHostRequest")


@_attrs_define
class ChangeHostRequest:
    """Changes of an inference host; what is null or left out stays.

    Attributes:
        url (None | str | Unset): address of the server: http(s)://host[:port][/path], without user, password or query
        secret_variable (None | str | Unset): name of the webapp's environment variable with the server's secret,
            INFERENCE_SECRET or INFERENCE_SECRET_…; empty: it needs none
        enabled (bool | None | Unset): whether requests may go to it
    """

    url: None | str | Unset = UNSET
    secret_variable: None | str | Unset = UNSET
    enabled: bool | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        url: None | str | Unset
        if isinstance(self.url, Unset):
            url = UNSET
        else:
            url = self.url

        secret_variable: None | str | Unset
        if isinstance(self.secret_variable, Unset):
            secret_variable = UNSET
        else:
            secret_variable = self.secret_variable

        enabled: bool | None | Unset
        if isinstance(self.enabled, Unset):
            enabled = UNSET
        else:
            enabled = self.enabled

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if url is not UNSET:
            field_dict["url"] = url
        if secret_variable is not UNSET:
            field_dict["secretVariable"] = secret_variable
        if enabled is not UNSET:
            field_dict["enabled"] = enabled

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        url = _parse_url(d.pop("url", UNSET))

        def _parse_secret_variable(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        secret_variable = _parse_secret_variable(d.pop("secretVariable", UNSET))

        def _parse_enabled(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        enabled = _parse_enabled(d.pop("enabled", UNSET))

        change_host_request = cls(
            url=url,
            secret_variable=secret_variable,
            enabled=enabled,
        )

        return change_host_request
