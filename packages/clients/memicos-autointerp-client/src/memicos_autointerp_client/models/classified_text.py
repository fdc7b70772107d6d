from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ClassifiedText")


@_attrs_define
class ClassifiedText:
    """A text with the language model's answer.

    Attributes:
        index (int): number of the text in the request, from 0
        str_tokens (list[str]): the text as tokens
        activations (list[float]): the feature's activation on each token
        distance (int): 1: the feature is active; -1: it is not
        ground_truth (bool): what the right answer is
        prediction (bool | None): the answer; null where there is none
        highlighted (bool): whether tokens were marked
        marked (list[int]): positions of the marked tokens
        probability (float | None): of the answer yes: 0 or 1; null where there is no answer
        correct (bool | None): whether prediction is ground_truth; null where there is no answer
        failure (None | str): why there is no answer: a cause of errors
    """

    index: int
    str_tokens: list[str]
    activations: list[float]
    distance: int
    ground_truth: bool
    prediction: bool | None
    highlighted: bool
    marked: list[int]
    probability: float | None
    correct: bool | None
    failure: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        index = self.index

        str_tokens = self.str_tokens

        activations = self.activations

        distance = self.distance

        ground_truth = self.ground_truth

        prediction: bool | None
        prediction = self.prediction

        highlighted = self.highlighted

        marked = self.marked

        probability: float | None
        probability = self.probability

        correct: bool | None
        correct = self.correct

        failure: None | str
        failure = self.failure

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "index": index,
                "str_tokens": str_tokens,
                "activations": activations,
                "distance": distance,
                "ground_truth": ground_truth,
                "prediction": prediction,
                "highlighted": highlighted,
                "marked": marked,
                "probability": probability,
                "correct": correct,
                "failure": failure,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        index = d.pop("index")

        str_tokens = cast(list[str], d.pop("str_tokens"))

        activations = cast(list[float], d.pop("activations"))

        distance = d.pop("distance")

        ground_truth = d.pop("ground_truth")

        def _parse_prediction(data: object) -> bool | None:
            if data is None:
                return data
            return cast(bool | None, data)

        prediction = _parse_prediction(d.pop("prediction"))

        highlighted = d.pop("highlighted")

        marked = cast(list[int], d.pop("marked"))

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

        def _parse_failure(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        failure = _parse_failure(d.pop("failure"))

        classified_text = cls(
            index=index,
            str_tokens=str_tokens,
            activations=activations,
            distance=distance,
            ground_truth=ground_truth,
            prediction=prediction,
            highlighted=highlighted,
            marked=marked,
            probability=probability,
            correct=correct,
            failure=failure,
        )

        classified_text.additional_properties = d
        return classified_text

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
