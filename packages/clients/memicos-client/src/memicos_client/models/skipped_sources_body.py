from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SkippedSourcesBody")


@_attrs_define
class SkippedSourcesBody:
    """Sources of which some or all explanations were searched by words only.

    Attributes:
        model_id (str): id of the model
        sources (list[str]): ids of sources
        reason (str): why they were not searched by meaning
    """

    model_id: str
    sources: list[str]
    reason: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        sources = self.sources

        reason = self.reason

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "sources": sources,
                "reason": reason,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model_id = d.pop("modelId")

        sources = cast(list[str], d.pop("sources"))

        reason = d.pop("reason")

        skipped_sources_body = cls(
            model_id=model_id,
            sources=sources,
            reason=reason,
        )

        skipped_sources_body.additional_properties = d
        return skipped_sources_body

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
