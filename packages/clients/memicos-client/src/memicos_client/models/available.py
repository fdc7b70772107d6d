from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.available_entry import AvailableEntry


T = TypeVar("T", bound="Available")


@_attrs_define
class Available:
    """What a location has: a dataset, or folders.

    Attributes:
        location (None | str): the location; null: the list of roots
        dataset (bool): whether it is a dataset, or a source in the public layout
        model (None | str): the model that its folders may be sources of; else null
        entries (list[AvailableEntry]): the folders inside
    """

    location: None | str
    dataset: bool
    model: None | str
    entries: list[AvailableEntry]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        location: None | str
        location = self.location

        dataset = self.dataset

        model: None | str
        model = self.model

        entries = []
        for entries_item_data in self.entries:
            entries_item = entries_item_data.to_dict()
            entries.append(entries_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "location": location,
                "dataset": dataset,
                "model": model,
                "entries": entries,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.available_entry import AvailableEntry  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_location(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        location = _parse_location(d.pop("location"))

        dataset = d.pop("dataset")

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        entries = []
        _entries = d.pop("entries")
        for entries_item_data in _entries:
            entries_item = AvailableEntry.from_dict(entries_item_data)

            entries.append(entries_item)

        available = cls(
            location=location,
            dataset=dataset,
            model=model,
            entries=entries,
        )

        available.additional_properties = d
        return available

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
