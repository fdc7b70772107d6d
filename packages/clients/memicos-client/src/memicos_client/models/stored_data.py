from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.stored_set import StoredSet


T = TypeVar("T", bound="StoredData")


@_attrs_define
class StoredData:
    """What the database has.

    Attributes:
        database_bytes (int): size of the database on disk
        free_bytes (int | None): free on its disk; null where it is on another machine
        sets (list[StoredSet]): by model and name
    """

    database_bytes: int
    free_bytes: int | None
    sets: list[StoredSet]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        database_bytes = self.database_bytes

        free_bytes: int | None
        free_bytes = self.free_bytes

        sets = []
        for sets_item_data in self.sets:
            sets_item = sets_item_data.to_dict()
            sets.append(sets_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "databaseBytes": database_bytes,
                "freeBytes": free_bytes,
                "sets": sets,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.stored_set import StoredSet  # noqa: PLC0415

        d = dict(src_dict)
        database_bytes = d.pop("databaseBytes")

        def _parse_free_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        free_bytes = _parse_free_bytes(d.pop("freeBytes"))

        sets = []
        _sets = d.pop("sets")
        for sets_item_data in _sets:
            sets_item = StoredSet.from_dict(sets_item_data)

            sets.append(sets_item)

        stored_data = cls(
            database_bytes=database_bytes,
            free_bytes=free_bytes,
            sets=sets,
        )

        stored_data.additional_properties = d
        return stored_data

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
