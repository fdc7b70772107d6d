from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.explanation_hit import ExplanationHit
    from ..models.explanation_search_result_examplerecipes import (
        ExplanationSearchResultExamplerecipes,
    )
    from ..models.search_criteria import SearchCriteria
    from ..models.skipped_sources_body import SkippedSourcesBody


T = TypeVar("T", bound="ExplanationSearchResult")


@_attrs_define
class ExplanationSearchResult:
    """Features, best first: their ranks by meaning and by words are fused.

    Attributes:
        request (SearchCriteria): The request; fields that it does not have are null.
        results (list[ExplanationHit]): features, best first
        results_count (int): number of results in this response
        has_more (bool): whether there is a next page
        skipped (list[SkippedSourcesBody]): sources not, or not completely, searched by meaning
        example_recipes (ExplanationSearchResultExamplerecipes): by `<model>/<source>`, how the values of examples were
            computed
        next_offset (int | None | Unset): offset of the next page; null at the end
    """

    request: SearchCriteria
    results: list[ExplanationHit]
    results_count: int
    has_more: bool
    skipped: list[SkippedSourcesBody]
    example_recipes: ExplanationSearchResultExamplerecipes
    next_offset: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        request = self.request.to_dict()

        results = []
        for results_item_data in self.results:
            results_item = results_item_data.to_dict()
            results.append(results_item)

        results_count = self.results_count

        has_more = self.has_more

        skipped = []
        for skipped_item_data in self.skipped:
            skipped_item = skipped_item_data.to_dict()
            skipped.append(skipped_item)

        example_recipes = self.example_recipes.to_dict()

        next_offset: int | None | Unset
        if isinstance(self.next_offset, Unset):
            next_offset = UNSET
        else:
            next_offset = self.next_offset

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "request": request,
                "results": results,
                "resultsCount": results_count,
                "hasMore": has_more,
                "skipped": skipped,
                "exampleRecipes": example_recipes,
            }
        )
        if next_offset is not UNSET:
            field_dict["nextOffset"] = next_offset

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.explanation_hit import ExplanationHit  # noqa: PLC0415
        from ..models.explanation_search_result_examplerecipes import (
            ExplanationSearchResultExamplerecipes,  # noqa: PLC0415
        )
        from ..models.search_criteria import SearchCriteria  # noqa: PLC0415
        from ..models.skipped_sources_body import SkippedSourcesBody  # noqa: PLC0415

        d = dict(src_dict)
        request = SearchCriteria.from_dict(d.pop("request"))

        results = []
        _results = d.pop("results")
        for results_item_data in _results:
            results_item = ExplanationHit.from_dict(results_item_data)

            results.append(results_item)

        results_count = d.pop("resultsCount")

        has_more = d.pop("hasMore")

        skipped = []
        _skipped = d.pop("skipped")
        for skipped_item_data in _skipped:
            skipped_item = SkippedSourcesBody.from_dict(skipped_item_data)

            skipped.append(skipped_item)

        example_recipes = ExplanationSearchResultExamplerecipes.from_dict(d.pop("exampleRecipes"))

        def _parse_next_offset(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        next_offset = _parse_next_offset(d.pop("nextOffset", UNSET))

        explanation_search_result = cls(
            request=request,
            results=results,
            results_count=results_count,
            has_more=has_more,
            skipped=skipped,
            example_recipes=example_recipes,
            next_offset=next_offset,
        )

        explanation_search_result.additional_properties = d
        return explanation_search_result

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
