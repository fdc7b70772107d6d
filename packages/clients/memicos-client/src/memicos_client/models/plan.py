from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.plan_source import PlanSource
    from ..models.plan_space import PlanSpace


T = TypeVar("T", bound="Plan")


@_attrs_define
class Plan:
    """What an import would do.

    Attributes:
        location (str): where the dataset is
        format_ (str): native, public or saedashboard
        model (str): id of the model
        set_ (None | str): name of the set; null where the files contradict each other
        bytes_ (int): bytes of all files
        sources (list[PlanSource]): the sources
        space (list[PlanSpace]): the space that it needs
        problem (None | str): why it would be refused; null where nothing is known
        unknown_figures (list[str]): figures of the model that the files do not say and an import needs: layers,
            d_model, vocabulary_size
    """

    location: str
    format_: str
    model: str
    set_: None | str
    bytes_: int
    sources: list[PlanSource]
    space: list[PlanSpace]
    problem: None | str
    unknown_figures: list[str]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        location = self.location

        format_ = self.format_

        model = self.model

        set_: None | str
        set_ = self.set_

        bytes_ = self.bytes_

        sources = []
        for sources_item_data in self.sources:
            sources_item = sources_item_data.to_dict()
            sources.append(sources_item)

        space = []
        for space_item_data in self.space:
            space_item = space_item_data.to_dict()
            space.append(space_item)

        problem: None | str
        problem = self.problem

        unknown_figures = self.unknown_figures

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "location": location,
                "format": format_,
                "model": model,
                "set": set_,
                "bytes": bytes_,
                "sources": sources,
                "space": space,
                "problem": problem,
                "unknownFigures": unknown_figures,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.plan_source import PlanSource  # noqa: PLC0415
        from ..models.plan_space import PlanSpace  # noqa: PLC0415

        d = dict(src_dict)
        location = d.pop("location")

        format_ = d.pop("format")

        model = d.pop("model")

        def _parse_set_(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        set_ = _parse_set_(d.pop("set"))

        bytes_ = d.pop("bytes")

        sources = []
        _sources = d.pop("sources")
        for sources_item_data in _sources:
            sources_item = PlanSource.from_dict(sources_item_data)

            sources.append(sources_item)

        space = []
        _space = d.pop("space")
        for space_item_data in _space:
            space_item = PlanSpace.from_dict(space_item_data)

            space.append(space_item)

        def _parse_problem(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        problem = _parse_problem(d.pop("problem"))

        unknown_figures = cast(list[str], d.pop("unknownFigures"))

        plan = cls(
            location=location,
            format_=format_,
            model=model,
            set_=set_,
            bytes_=bytes_,
            sources=sources,
            space=space,
            problem=problem,
            unknown_figures=unknown_figures,
        )

        plan.additional_properties = d
        return plan

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
