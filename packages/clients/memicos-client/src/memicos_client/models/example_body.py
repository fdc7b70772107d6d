from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ExampleBody")


@_attrs_define
class ExampleBody:
    """A context of the corpus with the feature's activations, in short.

    Attributes:
        tokens (list[str]): text of each token of the context, BOS included
        values (list[float]): activation of the feature at each token; as many as tokens
        max_value (float): largest of values
        max_value_token_index (int): token position of maxValue; 0 is the first token, BOS included
    """

    tokens: list[str]
    values: list[float]
    max_value: float
    max_value_token_index: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        tokens = self.tokens

        values = self.values

        max_value = self.max_value

        max_value_token_index = self.max_value_token_index

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "tokens": tokens,
                "values": values,
                "maxValue": max_value,
                "maxValueTokenIndex": max_value_token_index,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        tokens = cast(list[str], d.pop("tokens"))

        values = cast(list[float], d.pop("values"))

        max_value = d.pop("maxValue")

        max_value_token_index = d.pop("maxValueTokenIndex")

        example_body = cls(
            tokens=tokens,
            values=values,
            max_value=max_value,
            max_value_token_index=max_value_token_index,
        )

        example_body.additional_properties = d
        return example_body

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
