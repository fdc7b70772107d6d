from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.score_output_request_kind import (
    ScoreOutputRequestKind,
    check_score_output_request_kind,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ScoreOutputRequest")


@_attrs_define
class ScoreOutputRequest:
    """
    Attributes:
        explanation (str): the explanation to score
        kind (ScoreOutputRequestKind): TEXTS: steered texts and texts without steering; TOKENS: tokens that the feature
            raises and tokens that other features raise
        raised (list[str]): steered texts, or tokens whose logits the feature raises; at least 5
        others (list[str]): texts without steering, or tokens that other features raise; at least 5
        seed (int | Unset): of the order of the texts, of random marks and of the bootstrap Default: 0.
    """

    explanation: str
    kind: ScoreOutputRequestKind
    raised: list[str]
    others: list[str]
    seed: int | Unset = 0
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        explanation = self.explanation

        kind: str = self.kind

        raised = self.raised

        others = self.others

        seed = self.seed

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "explanation": explanation,
                "kind": kind,
                "raised": raised,
                "others": others,
            }
        )
        if seed is not UNSET:
            field_dict["seed"] = seed

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        explanation = d.pop("explanation")

        kind = check_score_output_request_kind(d.pop("kind"))

        raised = cast(list[str], d.pop("raised"))

        others = cast(list[str], d.pop("others"))

        seed = d.pop("seed", UNSET)

        score_output_request = cls(
            explanation=explanation,
            kind=kind,
            raised=raised,
            others=others,
            seed=seed,
        )

        score_output_request.additional_properties = d
        return score_output_request

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
