from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.recipe import Recipe


T = TypeVar("T", bound="SourcePositions")


@_attrs_define
class SourcePositions:
    """Ignored positions and recipe of one source.

    Attributes:
        source (str): Id of the source.
        ignored_positions (list[int]): Token positions, from 0, at which the values have no meaning as the source was
            not trained on them: a prepended BOS, and tokens whose activation norm exceeds the recipe's norm_cut.
        recipe (Recipe): How values of features, or of a vector, were computed from the text.
    """

    source: str
    ignored_positions: list[int]
    recipe: Recipe
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        source = self.source

        ignored_positions = self.ignored_positions

        recipe = self.recipe.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "source": source,
                "ignored_positions": ignored_positions,
                "recipe": recipe,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.recipe import Recipe  # noqa: PLC0415

        d = dict(src_dict)
        source = d.pop("source")

        ignored_positions = cast(list[int], d.pop("ignored_positions"))

        recipe = Recipe.from_dict(d.pop("recipe"))

        source_positions = cls(
            source=source,
            ignored_positions=ignored_positions,
            recipe=recipe,
        )

        source_positions.additional_properties = d
        return source_positions

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
