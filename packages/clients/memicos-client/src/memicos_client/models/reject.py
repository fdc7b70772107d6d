from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Reject")


@_attrs_define
class Reject:
    """A row that a job left out.

    Attributes:
        file (str): the file; of a job that explains or scores features the source
        line (int): from 1: of a text file its lines, of a Parquet file its rows; or the feature
        column (str): the column; empty where it is the whole row; or the cause of the failure
        reason (str): why no page could show it, or why the feature has no explanation or score
    """

    file: str
    line: int
    column: str
    reason: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        file = self.file

        line = self.line

        column = self.column

        reason = self.reason

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "file": file,
                "line": line,
                "column": column,
                "reason": reason,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        file = d.pop("file")

        line = d.pop("line")

        column = d.pop("column")

        reason = d.pop("reason")

        reject = cls(
            file=file,
            line=line,
            column=column,
            reason=reason,
        )

        reject.additional_properties = d
        return reject

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
