from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.neuron_body import NeuronBody


T = TypeVar("T", bound="ExplanationHit")


@_attrs_define
class ExplanationHit:
    """A feature with its best matching explanation. Each feature is in the results once.

    Attributes:
        model_id (str): id of the model
        layer (str): id of the source
        source (str): id of the source
        index (str): index of the feature
        description (str): text of the explanation
        explanation_model_name (None | str): language model that wrote it; null where none did
        type_name (str): method of the explanation
        cosine_similarity (float | None): cosine of the embeddings of query and explanation, -1 to 1; null: it has no
            embedding
        matched_by (list[str]): meaning (embeddings), words (text search) or both
        neuron (NeuronBody): The part of a feature's JSON that results show; `/api/feature/…` has all of it.
    """

    model_id: str
    layer: str
    source: str
    index: str
    description: str
    explanation_model_name: None | str
    type_name: str
    cosine_similarity: float | None
    matched_by: list[str]
    neuron: NeuronBody
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer = self.layer

        source = self.source

        index = self.index

        description = self.description

        explanation_model_name: None | str
        explanation_model_name = self.explanation_model_name

        type_name = self.type_name

        cosine_similarity: float | None
        cosine_similarity = self.cosine_similarity

        matched_by = self.matched_by

        neuron = self.neuron.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "layer": layer,
                "source": source,
                "index": index,
                "description": description,
                "explanationModelName": explanation_model_name,
                "typeName": type_name,
                "cosine_similarity": cosine_similarity,
                "matchedBy": matched_by,
                "neuron": neuron,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.neuron_body import NeuronBody  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        source = d.pop("source")

        index = d.pop("index")

        description = d.pop("description")

        def _parse_explanation_model_name(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        explanation_model_name = _parse_explanation_model_name(d.pop("explanationModelName"))

        type_name = d.pop("typeName")

        def _parse_cosine_similarity(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        cosine_similarity = _parse_cosine_similarity(d.pop("cosine_similarity"))

        matched_by = cast(list[str], d.pop("matchedBy"))

        neuron = NeuronBody.from_dict(d.pop("neuron"))

        explanation_hit = cls(
            model_id=model_id,
            layer=layer,
            source=source,
            index=index,
            description=description,
            explanation_model_name=explanation_model_name,
            type_name=type_name,
            cosine_similarity=cosine_similarity,
            matched_by=matched_by,
            neuron=neuron,
        )

        explanation_hit.additional_properties = d
        return explanation_hit

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
