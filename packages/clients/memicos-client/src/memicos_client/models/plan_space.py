from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="PlanSpace")


@_attrs_define
class PlanSpace:
    """Space that an import needs in a place.

    Attributes:
        place (str): the database, or a folder
        needed_bytes (int): bytes needed, estimated from the size of the files
        free_bytes (int | None): bytes free; null where this machine cannot know
    """

    place: str
    needed_bytes: int
    free_bytes: int | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        place = self.place

        needed_bytes = self.needed_bytes

        free_bytes: int | None
        free_bytes = self.free_bytes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "place": place,
                "neededBytes": needed_bytes,
                "freeBytes": free_bytes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        place = d.pop("place")

        needed_bytes = d.pop("neededBytes")

        def _parse_free_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        free_bytes = _parse_free_bytes(d.pop("freeBytes"))

        plan_space = cls(
            place=place,
            needed_bytes=needed_bytes,
            free_bytes=free_bytes,
        )

        plan_space.additional_properties = d
        return plan_space

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
