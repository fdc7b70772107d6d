from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="OutputText")


@_attrs_define
class OutputText:
    """A text or token with its similarity to the explanation.

    Attributes:
        index (int): number of the text in its list, from 0
        raised (bool): whether it is one of `raised`
        text (str): the text
        similarity (float): cosine similarity of the embeddings of text and explanation, -1 to 1
    """

    index: int
    raised: bool
    text: str
    similarity: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        index = self.index

        raised = self.raised

        text = self.text

        similarity = self.similarity

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "index": index,
                "raised": raised,
                "text": text,
                "similarity": similarity,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        index = d.pop("index")

        raised = d.pop("raised")

        text = d.pop("text")

        similarity = d.pop("similarity")

        output_text = cls(
            index=index,
            raised=raised,
            text=text,
            similarity=similarity,
        )

        output_text.additional_properties = d
        return output_text

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
