from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="BreakdownText")


@_attrs_define
class BreakdownText:
    """A text with the answer about it.

    Attributes:
        index (int): number of the text in the request, from 0
        distance (int): 1 for the strongest examples, 2 and above for intervals of activations from strong to weak, -1
            for a text on which the feature is not active, -2 for one on which a similar feature is
        ground_truth (bool): what the right answer is: whether the feature is active
        prediction (bool | None): the answer; null where there is none, or it is not yes or no
        probability (float | None): of the answer yes: 0 or 1; for eleuther_embedding the cosine similarity, -1 to 1;
            for simulation the largest expected activation, 0 to 1; null where there is no answer
        correct (bool | None): whether prediction is ground_truth; null where there is no prediction
        marked (list[int]): positions of the tokens that were marked in the text, for eleuther_fuzz
        expected (list[float] | None): for simulation the expected activation of each token, 0 to 9; null for others,
            and without answer
        failure (None | str): why there is no answer: a cause of errors
    """

    index: int
    distance: int
    ground_truth: bool
    prediction: bool | None
    probability: float | None
    correct: bool | None
    marked: list[int]
    expected: list[float] | None
    failure: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        index = self.index

        distance = self.distance

        ground_truth = self.ground_truth

        prediction: bool | None
        prediction = self.prediction

        probability: float | None
        probability = self.probability

        correct: bool | None
        correct = self.correct

        marked = self.marked

        expected: list[float] | None
        if isinstance(self.expected, list):
            expected = self.expected

        else:
            expected = self.expected

        failure: None | str
        failure = self.failure

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "index": index,
                "distance": distance,
                "ground_truth": ground_truth,
                "prediction": prediction,
                "probability": probability,
                "correct": correct,
                "marked": marked,
                "expected": expected,
                "failure": failure,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        index = d.pop("index")

        distance = d.pop("distance")

        ground_truth = d.pop("ground_truth")

        def _parse_prediction(data: object) -> bool | None:
            if data is None:
                return data
            return cast(bool | None, data)

        prediction = _parse_prediction(d.pop("prediction"))

        def _parse_probability(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        probability = _parse_probability(d.pop("probability"))

        def _parse_correct(data: object) -> bool | None:
            if data is None:
                return data
            return cast(bool | None, data)

        correct = _parse_correct(d.pop("correct"))

        marked = cast(list[int], d.pop("marked"))

        def _parse_expected(data: object) -> list[float] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                expected_type_0 = cast(list[float], data)

                return expected_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[float] | None, data)

        expected = _parse_expected(d.pop("expected"))

        def _parse_failure(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        failure = _parse_failure(d.pop("failure"))

        breakdown_text = cls(
            index=index,
            distance=distance,
            ground_truth=ground_truth,
            prediction=prediction,
            probability=probability,
            correct=correct,
            marked=marked,
            expected=expected,
            failure=failure,
        )

        breakdown_text.additional_properties = d
        return breakdown_text

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
