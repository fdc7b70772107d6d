from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SearchReleaseBody")


@_attrs_define
class SearchReleaseBody:
    """Search the features of a release.

    Attributes:
        query (str): description of the features to find; 3 characters or more, at most 200 (setting
            MEMICOS_QUERY_CHARACTERS)
        release_name (str): id of the release
        offset (int | Unset): results to skip; the nextOffset of a response Default: 0.
        min_density (float | None | Unset): activation density (share of counted tokens where the feature is active), at
            least
        max_density (float | None | Unset): activation density (share of counted tokens where the feature is active), at
            most
        by_meaning (bool | Unset): false: search by words only; the query is not embedded, so no cost limit applies
            Default: True.
    """

    query: str
    release_name: str
    offset: int | Unset = 0
    min_density: float | None | Unset = UNSET
    max_density: float | None | Unset = UNSET
    by_meaning: bool | Unset = True
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        query = self.query

        release_name = self.release_name

        offset = self.offset

        min_density: float | None | Unset
        if isinstance(self.min_density, Unset):
            min_density = UNSET
        else:
            min_density = self.min_density

        max_density: float | None | Unset
        if isinstance(self.max_density, Unset):
            max_density = UNSET
        else:
            max_density = self.max_density

        by_meaning = self.by_meaning

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "query": query,
                "releaseName": release_name,
            }
        )
        if offset is not UNSET:
            field_dict["offset"] = offset
        if min_density is not UNSET:
            field_dict["minDensity"] = min_density
        if max_density is not UNSET:
            field_dict["maxDensity"] = max_density
        if by_meaning is not UNSET:
            field_dict["byMeaning"] = by_meaning

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        query = d.pop("query")

        release_name = d.pop("releaseName")

        offset = d.pop("offset", UNSET)

        def _parse_min_density(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        min_density = _parse_min_density(d.pop("minDensity", UNSET))

        def _parse_max_density(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        max_density = _parse_max_density(d.pop("maxDensity", UNSET))

        by_meaning = d.pop("byMeaning", UNSET)

        search_release_body = cls(
            query=query,
            release_name=release_name,
            offset=offset,
            min_density=min_density,
            max_density=max_density,
            by_meaning=by_meaning,
        )

        search_release_body.additional_properties = d
        return search_release_body

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
