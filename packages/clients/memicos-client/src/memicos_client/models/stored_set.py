from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.stored_source import StoredSource


T = TypeVar("T", bound="StoredSet")


@_attrs_define
class StoredSet:
    """A source set with the sources that pages show.

    Attributes:
        model (str): id of the model
        set_ (str): name of the set
        title (str): title of the set on pages
        features (int): number of features of its sources
        bytes_ (int): bytes of its sources
        sources (list[StoredSource]): by layer
    """

    model: str
    set_: str
    title: str
    features: int
    bytes_: int
    sources: list[StoredSource]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        set_ = self.set_

        title = self.title

        features = self.features

        bytes_ = self.bytes_

        sources = []
        for sources_item_data in self.sources:
            sources_item = sources_item_data.to_dict()
            sources.append(sources_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "set": set_,
                "title": title,
                "features": features,
                "bytes": bytes_,
                "sources": sources,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.stored_source import StoredSource  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        set_ = d.pop("set")

        title = d.pop("title")

        features = d.pop("features")

        bytes_ = d.pop("bytes")

        sources = []
        _sources = d.pop("sources")
        for sources_item_data in _sources:
            sources_item = StoredSource.from_dict(sources_item_data)

            sources.append(sources_item)

        stored_set = cls(
            model=model,
            set_=set_,
            title=title,
            features=features,
            bytes_=bytes_,
            sources=sources,
        )

        stored_set.additional_properties = d
        return stored_set

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
