from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.source_result_activefeatures import SourceResultActivefeatures


T = TypeVar("T", bound="SourceResult")


@_attrs_define
class SourceResult:
    """Active features on one prompt.

    Attributes:
        tokens (list[str]): What each token adds to the text, one string per token, a prepended BOS included; joined,
            the decoded text. A character made of several tokens stands at the token that completes it; the earlier ones
            have an empty string.
        active_features (SourceResultActivefeatures): By index of the feature: [token position, activation] of each
            token at which it is active.
        tokens_is_special (list[bool]): For each token, whether it is a special token of the tokenizer, such as BOS or
            end of turn.
        token_ids (list[int]): Vocabulary id of each token, a prepended BOS included.
        ignored_positions (list[int]): Token positions, from 0, at which the values have no meaning as the source was
            not trained on them: a prepended BOS, and tokens whose activation norm exceeds the recipe's norm_cut.
        prepended_bos (bool | Unset): Whether BOS was prepended: not if the prompt begins with it, or the model has
            none. Default: False.
    """

    tokens: list[str]
    active_features: SourceResultActivefeatures
    tokens_is_special: list[bool]
    token_ids: list[int]
    ignored_positions: list[int]
    prepended_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        tokens = self.tokens

        active_features = self.active_features.to_dict()

        tokens_is_special = self.tokens_is_special

        token_ids = self.token_ids

        ignored_positions = self.ignored_positions

        prepended_bos = self.prepended_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "tokens": tokens,
                "activeFeatures": active_features,
                "tokens_is_special": tokens_is_special,
                "token_ids": token_ids,
                "ignored_positions": ignored_positions,
            }
        )
        if prepended_bos is not UNSET:
            field_dict["prepended_bos"] = prepended_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.source_result_activefeatures import SourceResultActivefeatures  # noqa: PLC0415

        d = dict(src_dict)
        tokens = cast(list[str], d.pop("tokens"))

        active_features = SourceResultActivefeatures.from_dict(d.pop("activeFeatures"))

        tokens_is_special = cast(list[bool], d.pop("tokens_is_special"))

        token_ids = cast(list[int], d.pop("token_ids"))

        ignored_positions = cast(list[int], d.pop("ignored_positions"))

        prepended_bos = d.pop("prepended_bos", UNSET)

        source_result = cls(
            tokens=tokens,
            active_features=active_features,
            tokens_is_special=tokens_is_special,
            token_ids=token_ids,
            ignored_positions=ignored_positions,
            prepended_bos=prepended_bos,
        )

        source_result.additional_properties = d
        return source_result

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
