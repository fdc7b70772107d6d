from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SearchCriteria")


@_attrs_define
class SearchCriteria:
    """The request; fields that it does not have are null.

    Attributes:
        query (str): description of the features to find; 3 characters or more, at most 200 (setting
            MEMICOS_QUERY_CHARACTERS)
        offset (int | Unset): results to skip; the nextOffset of a response Default: 0.
        min_density (float | None | Unset): activation density (share of counted tokens where the feature is active), at
            least
        max_density (float | None | Unset): activation density (share of counted tokens where the feature is active), at
            most
        by_meaning (bool | Unset): false: search by words only; the query is not embedded, so no cost limit applies
            Default: True.
        model_id (None | str | Unset): id of the model
        layers (list[str] | None | Unset): ids of sources
        release_name (None | str | Unset): id of the release
    """

    query: str
    offset: int | Unset = 0
    min_density: float | None | Unset = UNSET
    max_density: float | None | Unset = UNSET
    by_meaning: bool | Unset = True
    model_id: None | str | Unset = UNSET
    layers: list[str] | None | Unset = UNSET
    release_name: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        query = self.query

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

        model_id: None | str | Unset
        if isinstance(self.model_id, Unset):
            model_id = UNSET
        else:
            model_id = self.model_id

        layers: list[str] | None | Unset
        if isinstance(self.layers, Unset):
            layers = UNSET
        elif isinstance(self.layers, list):
            layers = self.layers

        else:
            layers = self.layers

        release_name: None | str | Unset
        if isinstance(self.release_name, Unset):
            release_name = UNSET
        else:
            release_name = self.release_name

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "query": query,
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
        if model_id is not UNSET:
            field_dict["modelId"] = model_id
        if layers is not UNSET:
            field_dict["layers"] = layers
        if release_name is not UNSET:
            field_dict["releaseName"] = release_name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        query = d.pop("query")

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

        def _parse_model_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model_id = _parse_model_id(d.pop("modelId", UNSET))

        def _parse_layers(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                layers_type_0 = cast(list[str], data)

                return layers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        layers = _parse_layers(d.pop("layers", UNSET))

        def _parse_release_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        release_name = _parse_release_name(d.pop("releaseName", UNSET))

        search_criteria = cls(
            query=query,
            offset=offset,
            min_density=min_density,
            max_density=max_density,
            by_meaning=by_meaning,
            model_id=model_id,
            layers=layers,
            release_name=release_name,
        )

        search_criteria.additional_properties = d
        return search_criteria

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
