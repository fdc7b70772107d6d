from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="AddHostRequest")


@_attrs_define
class AddHostRequest:
    """A new inference host.

    Attributes:
        name (str): name of the host: 1 to 63 lower-case letters, digits and hyphens
        url (str): address of the server: http(s)://host[:port][/path], without user, password or query
        secret_variable (None | str | Unset): name of the webapp's environment variable with the server's secret,
            INFERENCE_SECRET or INFERENCE_SECRET_…; null: it needs none
        enabled (bool | Unset): whether requests may go to it Default: True.
    """

    name: str
    url: str
    secret_variable: None | str | Unset = UNSET
    enabled: bool | Unset = True

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        url = self.url

        secret_variable: None | str | Unset
        if isinstance(self.secret_variable, Unset):
            secret_variable = UNSET
        else:
            secret_variable = self.secret_variable

        enabled = self.enabled

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
                "url": url,
            }
        )
        if secret_variable is not UNSET:
            field_dict["secretVariable"] = secret_variable
        if enabled is not UNSET:
            field_dict["enabled"] = enabled

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        url = d.pop("url")

        def _parse_secret_variable(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        secret_variable = _parse_secret_variable(d.pop("secretVariable", UNSET))

        enabled = d.pop("enabled", UNSET)

        add_host_request = cls(
            name=name,
            url=url,
            secret_variable=secret_variable,
            enabled=enabled,
        )

        return add_host_request
