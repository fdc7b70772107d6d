from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.example_body import ExampleBody
    from ..models.explanation_summary import ExplanationSummary


T = TypeVar("T", bound="NeuronBody")


@_attrs_define
class NeuronBody:
    """The part of a feature's JSON that results show; `/api/feature/…` has all of it.

    Attributes:
        model_id (str): id of the model
        layer (str): id of the source, the same as source
        source (str): id of the source
        index (str): index of the feature in its source, 0 is the first, as a string of digits
        max_act_approx (float): largest activation of the feature in the corpus; 0: it is never active
        frac_nonzero (float): activation density: share of counted tokens where it is active, 0 to 1
        pos_str (list[str]): tokens whose logits the feature raises most, largest effect first
        pos_values (list[float]): effect on the logit of each token of pos_str
        neg_str (list[str]): tokens whose logits the feature lowers most, most negative effect first
        neg_values (list[float]): effect on the logit of each token of neg_str
        explanations (list[ExplanationSummary]): explanations of the feature, its label first
        activations (list[ExampleBody]): the strongest example
    """

    model_id: str
    layer: str
    source: str
    index: str
    max_act_approx: float
    frac_nonzero: float
    pos_str: list[str]
    pos_values: list[float]
    neg_str: list[str]
    neg_values: list[float]
    explanations: list[ExplanationSummary]
    activations: list[ExampleBody]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer = self.layer

        source = self.source

        index = self.index

        max_act_approx = self.max_act_approx

        frac_nonzero = self.frac_nonzero

        pos_str = self.pos_str

        pos_values = self.pos_values

        neg_str = self.neg_str

        neg_values = self.neg_values

        explanations = []
        for explanations_item_data in self.explanations:
            explanations_item = explanations_item_data.to_dict()
            explanations.append(explanations_item)

        activations = []
        for activations_item_data in self.activations:
            activations_item = activations_item_data.to_dict()
            activations.append(activations_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "layer": layer,
                "source": source,
                "index": index,
                "maxActApprox": max_act_approx,
                "frac_nonzero": frac_nonzero,
                "pos_str": pos_str,
                "pos_values": pos_values,
                "neg_str": neg_str,
                "neg_values": neg_values,
                "explanations": explanations,
                "activations": activations,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.example_body import ExampleBody  # noqa: PLC0415
        from ..models.explanation_summary import ExplanationSummary  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        source = d.pop("source")

        index = d.pop("index")

        max_act_approx = d.pop("maxActApprox")

        frac_nonzero = d.pop("frac_nonzero")

        pos_str = cast(list[str], d.pop("pos_str"))

        pos_values = cast(list[float], d.pop("pos_values"))

        neg_str = cast(list[str], d.pop("neg_str"))

        neg_values = cast(list[float], d.pop("neg_values"))

        explanations = []
        _explanations = d.pop("explanations")
        for explanations_item_data in _explanations:
            explanations_item = ExplanationSummary.from_dict(explanations_item_data)

            explanations.append(explanations_item)

        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = ExampleBody.from_dict(activations_item_data)

            activations.append(activations_item)

        neuron_body = cls(
            model_id=model_id,
            layer=layer,
            source=source,
            index=index,
            max_act_approx=max_act_approx,
            frac_nonzero=frac_nonzero,
            pos_str=pos_str,
            pos_values=pos_values,
            neg_str=neg_str,
            neg_values=neg_values,
            explanations=explanations,
            activations=activations,
        )

        neuron_body.additional_properties = d
        return neuron_body

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
