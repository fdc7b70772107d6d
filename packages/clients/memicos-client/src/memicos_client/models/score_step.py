from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.score_step_stage import ScoreStepStage, check_score_step_stage
from ..types import UNSET, Unset

T = TypeVar("T", bound="ScoreStep")


@_attrs_define
class ScoreStep:
    """How far a score is.

    Attributes:
        stage (ScoreStepStage): texts: the model is run to find or generate texts; model: the language model is asked
        finished (int): texts that were found, or requests that were answered or failed
        total (int): of how many
        cost (float | None | Unset): US dollars paid so far; null where nothing is known
    """

    stage: ScoreStepStage
    finished: int
    total: int
    cost: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        stage: str = self.stage

        finished = self.finished

        total = self.total

        cost: float | None | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "stage": stage,
                "finished": finished,
                "total": total,
            }
        )
        if cost is not UNSET:
            field_dict["cost"] = cost

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        stage = check_score_step_stage(d.pop("stage"))

        finished = d.pop("finished")

        total = d.pop("total")

        def _parse_cost(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        cost = _parse_cost(d.pop("cost", UNSET))

        score_step = cls(
            stage=stage,
            finished=finished,
            total=total,
            cost=cost,
        )

        score_step.additional_properties = d
        return score_step

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
