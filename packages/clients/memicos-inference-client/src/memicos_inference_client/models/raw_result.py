from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.raw_activation import RawActivation


T = TypeVar("T", bound="RawResult")


@_attrs_define
class RawResult:
    """Activations of one prompt.

    Attributes:
        token_strings (list[str]): What each token adds to the text, one string per token, a prepended BOS included;
            joined, the decoded text. A character made of several tokens stands at the token that completes it; the earlier
            ones have an empty string.
        token_ids (list[int]): Vocabulary id of each token, a prepended BOS included.
        activations (list[RawActivation]): One entry per hook point: by ascending layer, or in the order of `hooks`.
        prepended_bos (bool | Unset): Whether BOS was prepended: not if the prompt begins with it, or the model has
            none. Default: False.
    """

    token_strings: list[str]
    token_ids: list[int]
    activations: list[RawActivation]
    prepended_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        token_strings = self.token_strings

        token_ids = self.token_ids

        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        prepended_bos = self.prepended_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "token_strings": token_strings,
                "token_ids": token_ids,
                "activations": activations,
            }
        )
        if prepended_bos is not UNSET:
            field_dict["prepended_bos"] = prepended_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.raw_activation import RawActivation  # noqa: PLC0415

        d = dict(src_dict)
        token_strings = cast(list[str], d.pop("token_strings"))

        token_ids = cast(list[int], d.pop("token_ids"))

        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = RawActivation.from_dict(activations_item_data)

            activations.append(activations_item)

        prepended_bos = d.pop("prepended_bos", UNSET)

        raw_result = cls(
            token_strings=token_strings,
            token_ids=token_ids,
            activations=activations,
            prepended_bos=prepended_bos,
        )

        raw_result.additional_properties = d
        return raw_result

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
