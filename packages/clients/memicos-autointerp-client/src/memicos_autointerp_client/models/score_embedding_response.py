from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.embedded_text import EmbeddedText
    from ..models.score_embedding_response_failures import ScoreEmbeddingResponseFailures


T = TypeVar("T", bound="ScoreEmbeddingResponse")


@_attrs_define
class ScoreEmbeddingResponse:
    """
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
        failures (ScoreEmbeddingResponseFailures): texts without an answer, which do not count, by cause
        breakdown (list[EmbeddedText]): every text, in the order of the request
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
    failures: ScoreEmbeddingResponseFailures
    breakdown: list[EmbeddedText]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
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

        breakdown = []
        for breakdown_item_data in self.breakdown:
            breakdown_item = breakdown_item_data.to_dict()
            breakdown.append(breakdown_item)

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
                "breakdown": breakdown,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.embedded_text import EmbeddedText  # noqa: PLC0415
        from ..models.score_embedding_response_failures import (
            ScoreEmbeddingResponseFailures,  # noqa: PLC0415
        )

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

        failures = ScoreEmbeddingResponseFailures.from_dict(d.pop("failures"))

        breakdown = []
        _breakdown = d.pop("breakdown")
        for breakdown_item_data in _breakdown:
            breakdown_item = EmbeddedText.from_dict(breakdown_item_data)

            breakdown.append(breakdown_item)

        score_embedding_response = cls(
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
            breakdown=breakdown,
        )

        score_embedding_response.additional_properties = d
        return score_embedding_response

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
