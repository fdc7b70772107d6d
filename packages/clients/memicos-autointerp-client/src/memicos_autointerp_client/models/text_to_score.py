from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="TextToScore")


@_attrs_define
class TextToScore:
    """A text as its tokens, with the feature's activation on each, and where it comes from.

    Attributes:
        tokens (list[str]): the text, split into tokens, with their spaces
        values (list[float]): the activation on each token: as many as tokens
        dfa_values (list[float] | None | Unset): for features of attention layers: the contribution of each token to the
            activation on the token dfa_target_index; as many as tokens
        dfa_target_index (int | None | Unset): position of the token that dfa_values belong to
        distance (int | None | Unset): 1 for the strongest examples, 2 and above for intervals of activations from
            strong to weak, -1 for a text on which the feature is not active, -2 for one on which a similar feature is;
            null: 1 or -1, by whether a value is above 0
    """

    tokens: list[str]
    values: list[float]
    dfa_values: list[float] | None | Unset = UNSET
    dfa_target_index: int | None | Unset = UNSET
    distance: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        tokens = self.tokens

        values = self.values

        dfa_values: list[float] | None | Unset
        if isinstance(self.dfa_values, Unset):
            dfa_values = UNSET
        elif isinstance(self.dfa_values, list):
            dfa_values = self.dfa_values

        else:
            dfa_values = self.dfa_values

        dfa_target_index: int | None | Unset
        if isinstance(self.dfa_target_index, Unset):
            dfa_target_index = UNSET
        else:
            dfa_target_index = self.dfa_target_index

        distance: int | None | Unset
        if isinstance(self.distance, Unset):
            distance = UNSET
        else:
            distance = self.distance

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "tokens": tokens,
                "values": values,
            }
        )
        if dfa_values is not UNSET:
            field_dict["dfa_values"] = dfa_values
        if dfa_target_index is not UNSET:
            field_dict["dfa_target_index"] = dfa_target_index
        if distance is not UNSET:
            field_dict["distance"] = distance

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        tokens = cast(list[str], d.pop("tokens"))

        values = cast(list[float], d.pop("values"))

        def _parse_dfa_values(data: object) -> list[float] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                dfa_values_type_0 = cast(list[float], data)

                return dfa_values_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[float] | None | Unset, data)

        dfa_values = _parse_dfa_values(d.pop("dfa_values", UNSET))

        def _parse_dfa_target_index(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        dfa_target_index = _parse_dfa_target_index(d.pop("dfa_target_index", UNSET))

        def _parse_distance(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        distance = _parse_distance(d.pop("distance", UNSET))

        text_to_score = cls(
            tokens=tokens,
            values=values,
            dfa_values=dfa_values,
            dfa_target_index=dfa_target_index,
            distance=distance,
        )

        text_to_score.additional_properties = d
        return text_to_score

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
