from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.recipe import Recipe
    from ..models.single_activation import SingleActivation


T = TypeVar("T", bound="SingleResponse")


@_attrs_define
class SingleResponse:
    """Result for one direction on one prompt.

    Attributes:
        activation (SingleActivation): Activations of one feature, or projections on one vector, on one prompt.
        tokens (list[str]): What each token adds to the text, one string per token, a prepended BOS included; joined,
            the decoded text. A character made of several tokens stands at the token that completes it; the earlier ones
            have an empty string.
        tokens_is_special (list[bool]): For each token, whether it is a special token of the tokenizer, such as BOS or
            end of turn.
        token_ids (list[int]): Vocabulary id of each token, a prepended BOS included.
        ignored_positions (list[int]): Token positions, from 0, at which the values have no meaning as the source was
            not trained on them: a prepended BOS, and tokens whose activation norm exceeds the recipe's norm_cut.
        recipe (Recipe): How values of features, or of a vector, were computed from the text.
        prepended_bos (bool | Unset): Whether BOS was prepended: not if the prompt begins with it, or the model has
            none. Default: False.
    """

    activation: SingleActivation
    tokens: list[str]
    tokens_is_special: list[bool]
    token_ids: list[int]
    ignored_positions: list[int]
    recipe: Recipe
    prepended_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        activation = self.activation.to_dict()

        tokens = self.tokens

        tokens_is_special = self.tokens_is_special

        token_ids = self.token_ids

        ignored_positions = self.ignored_positions

        recipe = self.recipe.to_dict()

        prepended_bos = self.prepended_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activation": activation,
                "tokens": tokens,
                "tokens_is_special": tokens_is_special,
                "token_ids": token_ids,
                "ignored_positions": ignored_positions,
                "recipe": recipe,
            }
        )
        if prepended_bos is not UNSET:
            field_dict["prepended_bos"] = prepended_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.recipe import Recipe  # noqa: PLC0415
        from ..models.single_activation import SingleActivation  # noqa: PLC0415

        d = dict(src_dict)
        activation = SingleActivation.from_dict(d.pop("activation"))

        tokens = cast(list[str], d.pop("tokens"))

        tokens_is_special = cast(list[bool], d.pop("tokens_is_special"))

        token_ids = cast(list[int], d.pop("token_ids"))

        ignored_positions = cast(list[int], d.pop("ignored_positions"))

        recipe = Recipe.from_dict(d.pop("recipe"))

        prepended_bos = d.pop("prepended_bos", UNSET)

        single_response = cls(
            activation=activation,
            tokens=tokens,
            tokens_is_special=tokens_is_special,
            token_ids=token_ids,
            ignored_positions=ignored_positions,
            recipe=recipe,
            prepended_bos=prepended_bos,
        )

        single_response.additional_properties = d
        return single_response

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
