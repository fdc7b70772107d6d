from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.search_all_result_rank import (
    SearchAllResultRank,
    check_search_all_result_rank,
)

if TYPE_CHECKING:
    from ..models.ranked_feature_body import RankedFeatureBody
    from ..models.search_all_result_examplerecipes import SearchAllResultExamplerecipes
    from ..models.search_all_result_recipes import SearchAllResultRecipes


T = TypeVar("T", bound="SearchAllResult")


@_attrs_define
class SearchAllResult:
    """Features that are active on a text, best first.

    Attributes:
        tokens (list[str]): the prompt's tokens, a prepended BOS first
        result (list[RankedFeatureBody]): features, in the order of `rank`
        prepended_bos (bool): whether BOS was prepended; false where the prompt itself begins with BOS
        sort_indexes (list[int]): token positions that the request ranked by
        rank (SearchAllResultRank): raw or share, as in the request
        recipes (SearchAllResultRecipes): by source, how the text's values were computed
        example_recipes (SearchAllResultExamplerecipes): by source, how the values of the corpus' examples were computed
    """

    tokens: list[str]
    result: list[RankedFeatureBody]
    prepended_bos: bool
    sort_indexes: list[int]
    rank: SearchAllResultRank
    recipes: SearchAllResultRecipes
    example_recipes: SearchAllResultExamplerecipes
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        tokens = self.tokens

        result = []
        for result_item_data in self.result:
            result_item = result_item_data.to_dict()
            result.append(result_item)

        prepended_bos = self.prepended_bos

        sort_indexes = self.sort_indexes

        rank: str = self.rank

        recipes = self.recipes.to_dict()

        example_recipes = self.example_recipes.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "tokens": tokens,
                "result": result,
                "prependedBos": prepended_bos,
                "sortIndexes": sort_indexes,
                "rank": rank,
                "recipes": recipes,
                "exampleRecipes": example_recipes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.ranked_feature_body import RankedFeatureBody  # noqa: PLC0415
        from ..models.search_all_result_examplerecipes import (
            SearchAllResultExamplerecipes,  # noqa: PLC0415
        )
        from ..models.search_all_result_recipes import SearchAllResultRecipes  # noqa: PLC0415

        d = dict(src_dict)
        tokens = cast(list[str], d.pop("tokens"))

        result = []
        _result = d.pop("result")
        for result_item_data in _result:
            result_item = RankedFeatureBody.from_dict(result_item_data)

            result.append(result_item)

        prepended_bos = d.pop("prependedBos")

        sort_indexes = cast(list[int], d.pop("sortIndexes"))

        rank = check_search_all_result_rank(d.pop("rank"))

        recipes = SearchAllResultRecipes.from_dict(d.pop("recipes"))

        example_recipes = SearchAllResultExamplerecipes.from_dict(d.pop("exampleRecipes"))

        search_all_result = cls(
            tokens=tokens,
            result=result,
            prepended_bos=prepended_bos,
            sort_indexes=sort_indexes,
            rank=rank,
            recipes=recipes,
            example_recipes=example_recipes,
        )

        search_all_result.additional_properties = d
        return search_all_result

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
