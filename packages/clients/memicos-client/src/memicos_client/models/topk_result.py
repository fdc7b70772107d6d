from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.recipe import Recipe
    from ..models.topk_token import TopkToken


T = TypeVar("T", bound="TopkResult")


@_attrs_define
class TopkResult:
    """The most active features of a source at each token of a text.

    Attributes:
        source (str): id of the source
        results (list[TopkToken]): one per token; without the ignored ones if ignoreBos is true
        prepended_bos (bool): whether BOS was prepended; false where the prompt itself begins with BOS
        recipe (Recipe): How values of features were computed from text.
        example_recipe (Recipe): How values of features were computed from text.
    """

    source: str
    results: list[TopkToken]
    prepended_bos: bool
    recipe: Recipe
    example_recipe: Recipe
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        source = self.source

        results = []
        for results_item_data in self.results:
            results_item = results_item_data.to_dict()
            results.append(results_item)

        prepended_bos = self.prepended_bos

        recipe = self.recipe.to_dict()

        example_recipe = self.example_recipe.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "source": source,
                "results": results,
                "prependedBos": prepended_bos,
                "recipe": recipe,
                "exampleRecipe": example_recipe,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.recipe import Recipe  # noqa: PLC0415
        from ..models.topk_token import TopkToken  # noqa: PLC0415

        d = dict(src_dict)
        source = d.pop("source")

        results = []
        _results = d.pop("results")
        for results_item_data in _results:
            results_item = TopkToken.from_dict(results_item_data)

            results.append(results_item)

        prepended_bos = d.pop("prependedBos")

        recipe = Recipe.from_dict(d.pop("recipe"))

        example_recipe = Recipe.from_dict(d.pop("exampleRecipe"))

        topk_result = cls(
            source=source,
            results=results,
            prepended_bos=prepended_bos,
            recipe=recipe,
            example_recipe=example_recipe,
        )

        topk_result.additional_properties = d
        return topk_result

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
