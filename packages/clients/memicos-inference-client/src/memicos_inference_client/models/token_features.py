from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.top_feature import TopFeature


T = TypeVar("T", bound="TokenFeatures")


@_attrs_define
class TokenFeatures:
    """Strongest features at one token.

    Attributes:
        token_position (int): Position of the token in `tokens`, from 0.
        token (str): What the token adds to the text; empty if a later token completes its character.
        is_special (bool): Whether it is a special token of the tokenizer.
        top_features (list[TopFeature]): At most `top_k` active features by descending activation; empty if none is
            active.
    """

    token_position: int
    token: str
    is_special: bool
    top_features: list[TopFeature]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        token_position = self.token_position

        token = self.token

        is_special = self.is_special

        top_features = []
        for top_features_item_data in self.top_features:
            top_features_item = top_features_item_data.to_dict()
            top_features.append(top_features_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "token_position": token_position,
                "token": token,
                "is_special": is_special,
                "top_features": top_features,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.top_feature import TopFeature  # noqa: PLC0415

        d = dict(src_dict)
        token_position = d.pop("token_position")

        token = d.pop("token")

        is_special = d.pop("is_special")

        top_features = []
        _top_features = d.pop("top_features")
        for top_features_item_data in _top_features:
            top_features_item = TopFeature.from_dict(top_features_item_data)

            top_features.append(top_features_item)

        token_features = cls(
            token_position=token_position,
            token=token,
            is_special=is_special,
            top_features=top_features,
        )

        token_features.additional_properties = d
        return token_features

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
