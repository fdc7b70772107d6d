from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.neuron_body import NeuronBody


T = TypeVar("T", bound="RankedFeatureBody")


@_attrs_define
class RankedFeatureBody:
    """A feature that is active on the text.

    Attributes:
        model_id (str): id of the model
        layer (str): id of the source
        source (str): id of the source
        index (str): index of the feature
        values (list[float]): activation of the feature at each token; as many as tokens
        max_value (float): largest of values; with ignoreBos the ignored positions are left out
        max_value_index (int): token position of maxValue; 0 is the first token, a prepended BOS included
        sum_values (float | None | Unset): sum of values at the positions of sortIndexes; null: sortIndexes is empty
        share (float | None | Unset): sumValues, or else maxValue, divided by the feature's maximum activation in its
            dataset; null where the dataset has none
        neuron (NeuronBody | None | Unset): null where the feature was not imported
        dfa_values (list[float] | None | Unset): always null: direct feature attribution is not computed
        dfa_target_index (int | None | Unset): always null: direct feature attribution is not computed
        dfa_max_value (float | None | Unset): always null: direct feature attribution is not computed
    """

    model_id: str
    layer: str
    source: str
    index: str
    values: list[float]
    max_value: float
    max_value_index: int
    sum_values: float | None | Unset = UNSET
    share: float | None | Unset = UNSET
    neuron: NeuronBody | None | Unset = UNSET
    dfa_values: list[float] | None | Unset = UNSET
    dfa_target_index: int | None | Unset = UNSET
    dfa_max_value: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.neuron_body import NeuronBody  # noqa: PLC0415

        model_id = self.model_id

        layer = self.layer

        source = self.source

        index = self.index

        values = self.values

        max_value = self.max_value

        max_value_index = self.max_value_index

        sum_values: float | None | Unset
        if isinstance(self.sum_values, Unset):
            sum_values = UNSET
        else:
            sum_values = self.sum_values

        share: float | None | Unset
        if isinstance(self.share, Unset):
            share = UNSET
        else:
            share = self.share

        neuron: dict[str, Any] | None | Unset
        if isinstance(self.neuron, Unset):
            neuron = UNSET
        elif isinstance(self.neuron, NeuronBody):
            neuron = self.neuron.to_dict()
        else:
            neuron = self.neuron

        dfa_values: list[float] | None | Unset
        if isinstance(self.dfa_values, Unset):
            dfa_values = UNSET
        elif isinstance(self.dfa_values, list):
            dfa_values = self.dfa_values

        else:
            dfa_values = self.dfa_values

        dfa_target_index: int | None | Unset
        if isinstance(self.dfa_target_index, Unset):
            dfa_target_index = UNSET
        else:
            dfa_target_index = self.dfa_target_index

        dfa_max_value: float | None | Unset
        if isinstance(self.dfa_max_value, Unset):
            dfa_max_value = UNSET
        else:
            dfa_max_value = self.dfa_max_value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "layer": layer,
                "source": source,
                "index": index,
                "values": values,
                "maxValue": max_value,
                "maxValueIndex": max_value_index,
            }
        )
        if sum_values is not UNSET:
            field_dict["sumValues"] = sum_values
        if share is not UNSET:
            field_dict["share"] = share
        if neuron is not UNSET:
            field_dict["neuron"] = neuron
        if dfa_values is not UNSET:
            field_dict["dfaValues"] = dfa_values
        if dfa_target_index is not UNSET:
            field_dict["dfaTargetIndex"] = dfa_target_index
        if dfa_max_value is not UNSET:
            field_dict["dfaMaxValue"] = dfa_max_value

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.neuron_body import NeuronBody  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        source = d.pop("source")

        index = d.pop("index")

        values = cast(list[float], d.pop("values"))

        max_value = d.pop("maxValue")

        max_value_index = d.pop("maxValueIndex")

        def _parse_sum_values(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        sum_values = _parse_sum_values(d.pop("sumValues", UNSET))

        def _parse_share(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        share = _parse_share(d.pop("share", UNSET))

        def _parse_neuron(data: object) -> NeuronBody | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                neuron_type_0 = NeuronBody.from_dict(data)

                return neuron_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(NeuronBody | None | Unset, data)

        neuron = _parse_neuron(d.pop("neuron", UNSET))

        def _parse_dfa_values(data: object) -> list[float] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                dfa_values_type_0 = cast(list[float], data)

                return dfa_values_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[float] | None | Unset, data)

        dfa_values = _parse_dfa_values(d.pop("dfaValues", UNSET))

        def _parse_dfa_target_index(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        dfa_target_index = _parse_dfa_target_index(d.pop("dfaTargetIndex", UNSET))

        def _parse_dfa_max_value(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        dfa_max_value = _parse_dfa_max_value(d.pop("dfaMaxValue", UNSET))

        ranked_feature_body = cls(
            model_id=model_id,
            layer=layer,
            source=source,
            index=index,
            values=values,
            max_value=max_value,
            max_value_index=max_value_index,
            sum_values=sum_values,
            share=share,
            neuron=neuron,
            dfa_values=dfa_values,
            dfa_target_index=dfa_target_index,
            dfa_max_value=dfa_max_value,
        )

        ranked_feature_body.additional_properties = d
        return ranked_feature_body

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
