from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="UploadFile")


@_attrs_define
class UploadFile:
    """A file of a dataset.

    Attributes:
        path (str): path in the dataset's folder: names of letters, digits and `._@+=,-` that begin with a letter, a
            digit or `_`, with `/` between them
        bytes_ (int): its size
        sha256 (str): its SHA-256, in hexadecimal digits
    """

    path: str
    bytes_: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        bytes_ = self.bytes_

        sha256 = self.sha256

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "path": path,
                "bytes": bytes_,
                "sha256": sha256,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        path = d.pop("path")

        bytes_ = d.pop("bytes")

        sha256 = d.pop("sha256")

        upload_file = cls(
            path=path,
            bytes_=bytes_,
            sha256=sha256,
        )

        return upload_file
