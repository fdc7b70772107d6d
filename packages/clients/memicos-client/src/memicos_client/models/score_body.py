from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.score_body_parameters_type_0 import ScoreBodyParametersType0


T = TypeVar("T", bound="ScoreBody")


@_attrs_define
class ScoreBody:
    """A score of an explanation.

    Attributes:
        id (str): id of the score
        explanation_id (str): id of the explanation
        explanation_score_type_name (str): method of the score
        explanation_score_model_name (str): language model or embedder that answered
        value (float | None): the score; 1 is the best; chance is 0.5, of `simulation` 0; null where there is none
        low (float | None): lower end of the 95% bootstrap interval
        high (float | None): upper end of the interval
        reason (None | str): why there is no score
        positives (int): texts with an answer on which the feature is active
        negatives (int): texts with an answer on which it is not
        failed (int): texts without an answer, which do not count
        seed (int): seed of every random choice
        initiated_by_user_id (None | str): account that asked for it; null for scores of a dataset
        json_details (str): the texts as a JSON list: {text, distance, similarity} for methods by embeddings, otherwise
            {str_tokens,
            activations, distance, ground_truth, prediction, probability, correct, highlighted}, with the tokens that were
            marked, the expected activations of simulation, and the cause of an answer that is missing. distance is 1 for
            the
            strongest examples, 2 and above for intervals from strong to weak, -1 where the feature is not active, -2 for
            near
            misses
        created_at (datetime.datetime): when it was stored
        profile (None | str): provider, by its name on the autointerp server; null where no language model was asked
        template_version (int | None): version of the method's prompt; null where no language model was asked
        parameters (None | ScoreBodyParametersType0): how the texts were chosen and the language model was asked; null
            where a dataset does not say it
        prompt_tokens (int | None): tokens of all prompts; null where the provider does not count them
        completion_tokens (int | None): tokens that the model generated
        cost (float | None): US dollars paid; null where the profile has no price
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
    profile: None | str
    template_version: int | None
    parameters: None | ScoreBodyParametersType0
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.score_body_parameters_type_0 import ScoreBodyParametersType0  # noqa: PLC0415

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

        profile: None | str
        profile = self.profile

        template_version: int | None
        template_version = self.template_version

        parameters: dict[str, Any] | None
        if isinstance(self.parameters, ScoreBodyParametersType0):
            parameters = self.parameters.to_dict()
        else:
            parameters = self.parameters

        prompt_tokens: int | None
        prompt_tokens = self.prompt_tokens

        completion_tokens: int | None
        completion_tokens = self.completion_tokens

        cost: float | None
        cost = self.cost

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
                "profile": profile,
                "templateVersion": template_version,
                "parameters": parameters,
                "promptTokens": prompt_tokens,
                "completionTokens": completion_tokens,
                "cost": cost,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.score_body_parameters_type_0 import ScoreBodyParametersType0  # noqa: PLC0415

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

        def _parse_profile(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        profile = _parse_profile(d.pop("profile"))

        def _parse_template_version(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        template_version = _parse_template_version(d.pop("templateVersion"))

        def _parse_parameters(data: object) -> None | ScoreBodyParametersType0:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                parameters_type_0 = ScoreBodyParametersType0.from_dict(data)

                return parameters_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | ScoreBodyParametersType0, data)

        parameters = _parse_parameters(d.pop("parameters"))

        def _parse_prompt_tokens(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        prompt_tokens = _parse_prompt_tokens(d.pop("promptTokens"))

        def _parse_completion_tokens(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        completion_tokens = _parse_completion_tokens(d.pop("completionTokens"))

        def _parse_cost(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        cost = _parse_cost(d.pop("cost"))

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
            profile=profile,
            template_version=template_version,
            parameters=parameters,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=cost,
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
