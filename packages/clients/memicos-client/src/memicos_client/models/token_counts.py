from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="TokenCounts")


@_attrs_define
class TokenCounts:
    """Generated tokens so far.

    Attributes:
        steered (int | None | Unset): tokens generated with steering; null: not generated
        default (int | None | Unset): tokens generated without steering; null: not generated
    """

    steered: int | None | Unset = UNSET
    default: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        steered: int | None | Unset
        if isinstance(self.steered, Unset):
            steered = UNSET
        else:
            steered = self.steered

        default: int | None | Unset
        if isinstance(self.default, Unset):
            default = UNSET
        else:
            default = self.default

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if steered is not UNSET:
            field_dict["STEERED"] = steered
        if default is not UNSET:
            field_dict["DEFAULT"] = default

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_steered(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        steered = _parse_steered(d.pop("STEERED", UNSET))

        def _parse_default(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        default = _parse_default(d.pop("DEFAULT", UNSET))

        token_counts = cls(
            steered=steered,
            default=default,
        )

        token_counts.additional_properties = d
        return token_counts

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
