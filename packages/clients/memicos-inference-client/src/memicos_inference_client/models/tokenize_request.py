from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="TokenizeRequest")


@_attrs_define
class TokenizeRequest:
    """A text to tokenise.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        text (str): Text to tokenise.
        prepend_bos (bool | None | Unset): Whether to prepend BOS; null: as the first source was trained, or as the
            tokenizer does if there are no sources.
    """

    model: str
    text: str
    prepend_bos: bool | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        text = self.text

        prepend_bos: bool | None | Unset
        if isinstance(self.prepend_bos, Unset):
            prepend_bos = UNSET
        else:
            prepend_bos = self.prepend_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "text": text,
            }
        )
        if prepend_bos is not UNSET:
            field_dict["prepend_bos"] = prepend_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model = d.pop("model")

        text = d.pop("text")

        def _parse_prepend_bos(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        prepend_bos = _parse_prepend_bos(d.pop("prepend_bos", UNSET))

        tokenize_request = cls(
            model=model,
            text=text,
            prepend_bos=prepend_bos,
        )

        tokenize_request.additional_properties = d
        return tokenize_request

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
