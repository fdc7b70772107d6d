from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="TokenizeResponse")


@_attrs_define
class TokenizeResponse:
    """Tokens of the text.

    Attributes:
        tokens (list[int]): Vocabulary id of each token, a prepended BOS included.
        token_strings (list[str]): What each token adds to the text, one string per token, a prepended BOS included;
            joined, the decoded text. A character made of several tokens stands at the token that completes it; the earlier
            ones have an empty string.
        tokens_is_special (list[bool]): For each token, whether it is a special token of the tokenizer, such as BOS or
            end of turn.
        prepend_bos (bool): Whether BOS was prepended.
    """

    tokens: list[int]
    token_strings: list[str]
    tokens_is_special: list[bool]
    prepend_bos: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        tokens = self.tokens

        token_strings = self.token_strings

        tokens_is_special = self.tokens_is_special

        prepend_bos = self.prepend_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "tokens": tokens,
                "token_strings": token_strings,
                "tokens_is_special": tokens_is_special,
                "prepend_bos": prepend_bos,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        tokens = cast(list[int], d.pop("tokens"))

        token_strings = cast(list[str], d.pop("token_strings"))

        tokens_is_special = cast(list[bool], d.pop("tokens_is_special"))

        prepend_bos = d.pop("prepend_bos")

        tokenize_response = cls(
            tokens=tokens,
            token_strings=token_strings,
            tokens_is_special=tokens_is_special,
            prepend_bos=prepend_bos,
        )

        tokenize_response.additional_properties = d
        return tokenize_response

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
