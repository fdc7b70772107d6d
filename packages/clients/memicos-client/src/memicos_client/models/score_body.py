from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ScoreBody")


@_attrs_define
class ScoreBody:
    """A score of an explanation.

    Attributes:
        id (str): id of the score
        explanation_id (str): id of the explanation
        explanation_score_type_name (str): method of the score
        explanation_score_model_name (str): language model or embedder that answered
        value (float | None): the score; 0.5 is chance, 1 the best; null where there is none
        low (float | None): lower end of the 95% bootstrap interval
        high (float | None): upper end of the interval
        reason (None | str): why there is no score
        positives (int): texts with an answer on which the feature is active
        negatives (int): texts with an answer on which it is not
        failed (int): texts without an answer, which do not count
        seed (int): seed of every random choice
        initiated_by_user_id (None | str): account that asked for it; null for scores of a dataset
        json_details (str): the texts as a JSON list of {text, distance, similarity or probability}: distance is 1 for
            the strongest
            examples, 2 and above for intervals from strong to weak, -1 where the feature is not active, -2 for near misses
        created_at (datetime.datetime): when it was stored
    """

    id: str
    explanation_id: str
    explanation_score_type_name: str
    explanation_score_model_name: str
    value: float | None
    low: float | None
    high: float | None
    reason: None | str
    positives: int
    negatives: int
    failed: int
    seed: int
    initiated_by_user_id: None | str
    json_details: str
    created_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        explanation_id = self.explanation_id

        explanation_score_type_name = self.explanation_score_type_name

        explanation_score_model_name = self.explanation_score_model_name

        value: float | None
        value = self.value

        low: float | None
        low = self.low

        high: float | None
        high = self.high

        reason: None | str
        reason = self.reason

        positives = self.positives

        negatives = self.negatives

        failed = self.failed

        seed = self.seed

        initiated_by_user_id: None | str
        initiated_by_user_id = self.initiated_by_user_id

        json_details = self.json_details

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "explanationId": explanation_id,
                "explanationScoreTypeName": explanation_score_type_name,
                "explanationScoreModelName": explanation_score_model_name,
                "value": value,
                "low": low,
                "high": high,
                "reason": reason,
                "positives": positives,
                "negatives": negatives,
                "failed": failed,
                "seed": seed,
                "initiatedByUserId": initiated_by_user_id,
                "jsonDetails": json_details,
                "createdAt": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        explanation_id = d.pop("explanationId")

        explanation_score_type_name = d.pop("explanationScoreTypeName")

        explanation_score_model_name = d.pop("explanationScoreModelName")

        def _parse_value(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        value = _parse_value(d.pop("value"))

        def _parse_low(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        low = _parse_low(d.pop("low"))

        def _parse_high(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        high = _parse_high(d.pop("high"))

        def _parse_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reason = _parse_reason(d.pop("reason"))

        positives = d.pop("positives")

        negatives = d.pop("negatives")

        failed = d.pop("failed")

        seed = d.pop("seed")

        def _parse_initiated_by_user_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        initiated_by_user_id = _parse_initiated_by_user_id(d.pop("initiatedByUserId"))

        json_details = d.pop("jsonDetails")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        score_body = cls(
            id=id,
            explanation_id=explanation_id,
            explanation_score_type_name=explanation_score_type_name,
            explanation_score_model_name=explanation_score_model_name,
            value=value,
            low=low,
            high=high,
            reason=reason,
            positives=positives,
            negatives=negatives,
            failed=failed,
            seed=seed,
            initiated_by_user_id=initiated_by_user_id,
            json_details=json_details,
            created_at=created_at,
        )

        score_body.additional_properties = d
        return score_body

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
