from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.recipe import Recipe
    from ..models.token_features import TokenFeatures


T = TypeVar("T", bound="TopkResponse")


@_attrs_define
class TopkResponse:
    """Strongest features at each token of one prompt.

    Attributes:
        results (list[TokenFeatures]): One entry per token, in order; ignored positions have none if `ignore_bos` is
            set.
        tokens (list[str]): What each token adds to the text, one string per token, a prepended BOS included; joined,
            the decoded text. A character made of several tokens stands at the token that completes it; the earlier ones
            have an empty string.
        token_ids (list[int]): Vocabulary id of each token, a prepended BOS included.
        ignored_positions (list[int]): Token positions, from 0, at which the values have no meaning as the source was
            not trained on them: a prepended BOS, and tokens whose activation norm exceeds the recipe's norm_cut.
        recipe (Recipe): How values of features, or of a vector, were computed from the text.
        prepended_bos (bool | Unset): Whether BOS was prepended: not if the prompt begins with it, or the model has
            none. Default: False.
    """

    results: list[TokenFeatures]
    tokens: list[str]
    token_ids: list[int]
    ignored_positions: list[int]
    recipe: Recipe
    prepended_bos: bool | Unset = False
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        results = []
        for results_item_data in self.results:
            results_item = results_item_data.to_dict()
            results.append(results_item)

        tokens = self.tokens

        token_ids = self.token_ids

        ignored_positions = self.ignored_positions

        recipe = self.recipe.to_dict()

        prepended_bos = self.prepended_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "results": results,
                "tokens": tokens,
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
        from ..models.token_features import TokenFeatures  # noqa: PLC0415

        d = dict(src_dict)
        results = []
        _results = d.pop("results")
        for results_item_data in _results:
            results_item = TokenFeatures.from_dict(results_item_data)

            results.append(results_item)

        tokens = cast(list[str], d.pop("tokens"))

        token_ids = cast(list[int], d.pop("token_ids"))

        ignored_positions = cast(list[int], d.pop("ignored_positions"))

        recipe = Recipe.from_dict(d.pop("recipe"))

        prepended_bos = d.pop("prepended_bos", UNSET)

        topk_response = cls(
            results=results,
            tokens=tokens,
            token_ids=token_ids,
            ignored_positions=ignored_positions,
            recipe=recipe,
            prepended_bos=prepended_bos,
        )

        topk_response.additional_properties = d
        return topk_response

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
