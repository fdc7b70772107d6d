from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="UploadFileState")


@_attrs_define
class UploadFileState:
    """A file of an upload, and what of it was received.

    Attributes:
        path (str): path in the dataset's folder
        bytes_ (int): its size
        parts (int): number of its parts: each has `partBytes`, the last one what is left
        received (list[int]): numbers of the parts that were received, from 0; empty for a complete upload
    """

    path: str
    bytes_: int
    parts: int
    received: list[int]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        bytes_ = self.bytes_

        parts = self.parts

        received = self.received

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "path": path,
                "bytes": bytes_,
                "parts": parts,
                "received": received,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        path = d.pop("path")

        bytes_ = d.pop("bytes")

        parts = d.pop("parts")

        received = cast(list[int], d.pop("received"))

        upload_file_state = cls(
            path=path,
            bytes_=bytes_,
            parts=parts,
            received=received,
        )

        upload_file_state.additional_properties = d
        return upload_file_state

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
