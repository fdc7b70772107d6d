from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.export_request_format import (
    ExportRequestFormat,
    check_export_request_format,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ExportRequest")


@_attrs_define
class ExportRequest:
    """A source or a set to export.

    Attributes:
        name (str): model/source, or model/set for all sources of the set
        format_ (ExportRequestFormat | Unset): the native format, or the public layout Default: 'native'.
    """

    name: str
    format_: ExportRequestFormat | Unset = "native"

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        format_: str | Unset = UNSET
        if not isinstance(self.format_, Unset):
            format_ = self.format_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
            }
        )
        if format_ is not UNSET:
            field_dict["format"] = format_

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        _format_ = d.pop("format", UNSET)
        format_: ExportRequestFormat | Unset
        if isinstance(_format_, Unset):
            format_ = UNSET
        else:
            format_ = check_export_request_format(_format_)

        export_request = cls(
            name=name,
            format_=format_,
        )

        return export_request
