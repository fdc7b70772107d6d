from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="PlanSource")


@_attrs_define
class PlanSource:
    """A source of a dataset.

    Attributes:
        source (str): id of the source
        features (int | None): number of its features; null where only reading all would say
        files (int): number of its files
        bytes_ (int): bytes of its files
        shown (bool): whether an import would replace a source that is shown
    """

    source: str
    features: int | None
    files: int
    bytes_: int
    shown: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        source = self.source

        features: int | None
        features = self.features

        files = self.files

        bytes_ = self.bytes_

        shown = self.shown

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "source": source,
                "features": features,
                "files": files,
                "bytes": bytes_,
                "shown": shown,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        source = d.pop("source")

        def _parse_features(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        features = _parse_features(d.pop("features"))

        files = d.pop("files")

        bytes_ = d.pop("bytes")

        shown = d.pop("shown")

        plan_source = cls(
            source=source,
            features=features,
            files=files,
            bytes_=bytes_,
            shown=shown,
        )

        plan_source.additional_properties = d
        return plan_source

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
