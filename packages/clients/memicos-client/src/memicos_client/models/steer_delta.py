from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.output_delta import OutputDelta


T = TypeVar("T", bound="SteerDelta")


@_attrs_define
class SteerDelta:
    """Data of an event named `delta`: the outputs that have new tokens.

    Attributes:
        steered (None | OutputDelta | Unset): new part of the output with steering; null: nothing new
        default (None | OutputDelta | Unset): new part of the output without steering; null: nothing new
    """

    steered: None | OutputDelta | Unset = UNSET
    default: None | OutputDelta | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.output_delta import OutputDelta  # noqa: PLC0415

        steered: dict[str, Any] | None | Unset
        if isinstance(self.steered, Unset):
            steered = UNSET
        elif isinstance(self.steered, OutputDelta):
            steered = self.steered.to_dict()
        else:
            steered = self.steered

        default: dict[str, Any] | None | Unset
        if isinstance(self.default, Unset):
            default = UNSET
        elif isinstance(self.default, OutputDelta):
            default = self.default.to_dict()
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
        from ..models.output_delta import OutputDelta  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_steered(data: object) -> None | OutputDelta | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                steered_type_0 = OutputDelta.from_dict(data)

                return steered_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | OutputDelta | Unset, data)

        steered = _parse_steered(d.pop("STEERED", UNSET))

        def _parse_default(data: object) -> None | OutputDelta | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                default_type_0 = OutputDelta.from_dict(data)

                return default_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | OutputDelta | Unset, data)

        default = _parse_default(d.pop("DEFAULT", UNSET))

        steer_delta = cls(
            steered=steered,
            default=default,
        )

        steer_delta.additional_properties = d
        return steer_delta

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
