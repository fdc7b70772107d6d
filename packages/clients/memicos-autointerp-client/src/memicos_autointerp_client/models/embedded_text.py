from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="EmbeddedText")


@_attrs_define
class EmbeddedText:
    """A text with its similarity to the explanation.

    Attributes:
        index (int): number of the text in the request, from 0
        text (str): the text
        distance (int): 1: the feature is active; -1: it is not
        similarity (float): cosine similarity of the embeddings of text and explanation, -1 to 1
    """

    index: int
    text: str
    distance: int
    similarity: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        index = self.index

        text = self.text

        distance = self.distance

        similarity = self.similarity

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "index": index,
                "text": text,
                "distance": distance,
                "similarity": similarity,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        index = d.pop("index")

        text = d.pop("text")

        distance = d.pop("distance")

        similarity = d.pop("similarity")

        embedded_text = cls(
            index=index,
            text=text,
            distance=distance,
            similarity=similarity,
        )

        embedded_text.additional_properties = d
        return embedded_text

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
