from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.breakdown_text import BreakdownText
    from ..models.score_explanation_response_failures import (
        ScoreExplanationResponseFailures,
    )
    from ..models.usage import Usage


T = TypeVar("T", bound="ScoreExplanationResponse")


@_attrs_define
class ScoreExplanationResponse:
    """A score by any method.

    Attributes:
        score (float): 0 to 1, 0.5 is chance; for simulation -1 to 1, 0 is chance
        low (float): lower end of the 95% bootstrap interval
        high (float): upper end of the 95% bootstrap interval
        statistic (str): what the number is, such as balanced accuracy
        method (str): name of the scorer
        model (str): language model or embedder that answered
        seed (int): seed of the request
        positives (int): texts with an answer on which the feature is active
        negatives (int): texts with an answer on which it is not
        failures (ScoreExplanationResponseFailures): texts without an answer, which do not count, by cause
        chance (float): score of an explanation that tells nothing: 0.5, or 0 for simulation
        breakdown (list[BreakdownText]): every text, in the order of the request
        profile (None | str): provider by its name on this server; `request` for another base_url; null without a
            provider
        template_version (int | None): version of the method's prompt; null without a provider
        usage (None | Usage): tokens of all calls; null where the provider does not count them
        cost (float | None): US dollars paid, by the profile's prices; null where they are unknown
    """

    score: float
    low: float
    high: float
    statistic: str
    method: str
    model: str
    seed: int
    positives: int
    negatives: int
    failures: ScoreExplanationResponseFailures
    chance: float
    breakdown: list[BreakdownText]
    profile: None | str
    template_version: int | None
    usage: None | Usage
    cost: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.usage import Usage  # noqa: PLC0415

        score = self.score

        low = self.low

        high = self.high

        statistic = self.statistic

        method = self.method

        model = self.model

        seed = self.seed

        positives = self.positives

        negatives = self.negatives

        failures = self.failures.to_dict()

        chance = self.chance

        breakdown = []
        for breakdown_item_data in self.breakdown:
            breakdown_item = breakdown_item_data.to_dict()
            breakdown.append(breakdown_item)

        profile: None | str
        profile = self.profile

        template_version: int | None
        template_version = self.template_version

        usage: dict[str, Any] | None
        if isinstance(self.usage, Usage):
            usage = self.usage.to_dict()
        else:
            usage = self.usage

        cost: float | None
        cost = self.cost

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "score": score,
                "low": low,
                "high": high,
                "statistic": statistic,
                "method": method,
                "model": model,
                "seed": seed,
                "positives": positives,
                "negatives": negatives,
                "failures": failures,
                "chance": chance,
                "breakdown": breakdown,
                "profile": profile,
                "template_version": template_version,
                "usage": usage,
                "cost": cost,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.breakdown_text import BreakdownText  # noqa: PLC0415
        from ..models.score_explanation_response_failures import (
            ScoreExplanationResponseFailures,  # noqa: PLC0415
        )
        from ..models.usage import Usage  # noqa: PLC0415

        d = dict(src_dict)
        score = d.pop("score")

        low = d.pop("low")

        high = d.pop("high")

        statistic = d.pop("statistic")

        method = d.pop("method")

        model = d.pop("model")

        seed = d.pop("seed")

        positives = d.pop("positives")

        negatives = d.pop("negatives")

        failures = ScoreExplanationResponseFailures.from_dict(d.pop("failures"))

        chance = d.pop("chance")

        breakdown = []
        _breakdown = d.pop("breakdown")
        for breakdown_item_data in _breakdown:
            breakdown_item = BreakdownText.from_dict(breakdown_item_data)

            breakdown.append(breakdown_item)

        def _parse_profile(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        profile = _parse_profile(d.pop("profile"))

        def _parse_template_version(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        template_version = _parse_template_version(d.pop("template_version"))

        def _parse_usage(data: object) -> None | Usage:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                usage_type_0 = Usage.from_dict(data)

                return usage_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Usage, data)

        usage = _parse_usage(d.pop("usage"))

        def _parse_cost(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        cost = _parse_cost(d.pop("cost"))

        score_explanation_response = cls(
            score=score,
            low=low,
            high=high,
            statistic=statistic,
            method=method,
            model=model,
            seed=seed,
            positives=positives,
            negatives=negatives,
            failures=failures,
            chance=chance,
            breakdown=breakdown,
            profile=profile,
            template_version=template_version,
            usage=usage,
            cost=cost,
        )

        score_explanation_response.additional_properties = d
        return score_explanation_response

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
