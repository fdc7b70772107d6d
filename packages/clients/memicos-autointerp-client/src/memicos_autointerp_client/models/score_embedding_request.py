from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.activation import Activation


T = TypeVar("T", bound="ScoreEmbeddingRequest")


@_attrs_define
class ScoreEmbeddingRequest:
    """
    Attributes:
        activations (list[Activation]): texts on which the feature is active (a value is above 0), and texts on which it
            is not; at least 5 of each, and at most AUTOINTERP_MAX_ACTIVATIONS in all
        explanation (str): the explanation to score
        seed (int | Unset): of the order of the texts, of random marks and of the bootstrap Default: 0.
    """

    activations: list[Activation]
    explanation: str
    seed: int | Unset = 0
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        explanation = self.explanation

        seed = self.seed

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activations": activations,
                "explanation": explanation,
            }
        )
        if seed is not UNSET:
            field_dict["seed"] = seed

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.activation import Activation  # noqa: PLC0415

        d = dict(src_dict)
        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = Activation.from_dict(activations_item_data)

            activations.append(activations_item)

        explanation = d.pop("explanation")

        seed = d.pop("seed", UNSET)

        score_embedding_request = cls(
            activations=activations,
            explanation=explanation,
            seed=seed,
        )

        score_embedding_request.additional_properties = d
        return score_embedding_request

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
