from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="FeatureActivation")


@_attrs_define
class FeatureActivation:
    """Activations of one feature on one prompt.

    Attributes:
        source (str): Id of the feature's source.
        index (int): Index of the feature in its source, from 0.
        values (list[float]): Activation of the feature at each token, a prepended BOS included.
        max_value (float): Largest value; without the ignored positions if `ignore_bos` is set.
        max_value_index (int): First token position, from 0, with `max_value`.
        dfa_values (list[float] | None | Unset): Contribution of each source token, through attention to it, to the
            feature's pre-activation at `dfa_target_index`; one number per token, 0 after that position. Null unless the
            source reads attention heads and the model exposes its attention pattern.
        dfa_max_value (float | None | Unset): Largest of `dfa_values`; null if they are.
        dfa_target_index (int | None | Unset): Token position that is attributed, equal to `max_value_index`; null if
            `dfa_values` are.
        sum_values (float | None | Unset): Sum of values at `sort_by_token_indexes`, used for ranking; null if that is
            empty.
    """

    source: str
    index: int
    values: list[float]
    max_value: float
    max_value_index: int
    dfa_values: list[float] | None | Unset = UNSET
    dfa_max_value: float | None | Unset = UNSET
    dfa_target_index: int | None | Unset = UNSET
    sum_values: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        source = self.source

        index = self.index

        values = self.values

        max_value = self.max_value

        max_value_index = self.max_value_index

        dfa_values: list[float] | None | Unset
        if isinstance(self.dfa_values, Unset):
            dfa_values = UNSET
        elif isinstance(self.dfa_values, list):
            dfa_values = self.dfa_values

        else:
            dfa_values = self.dfa_values

        dfa_max_value: float | None | Unset
        if isinstance(self.dfa_max_value, Unset):
            dfa_max_value = UNSET
        else:
            dfa_max_value = self.dfa_max_value

        dfa_target_index: int | None | Unset
        if isinstance(self.dfa_target_index, Unset):
            dfa_target_index = UNSET
        else:
            dfa_target_index = self.dfa_target_index

        sum_values: float | None | Unset
        if isinstance(self.sum_values, Unset):
            sum_values = UNSET
        else:
            sum_values = self.sum_values

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "source": source,
                "index": index,
                "values": values,
                "max_value": max_value,
                "max_value_index": max_value_index,
            }
        )
        if dfa_values is not UNSET:
            field_dict["dfa_values"] = dfa_values
        if dfa_max_value is not UNSET:
            field_dict["dfa_max_value"] = dfa_max_value
        if dfa_target_index is not UNSET:
            field_dict["dfa_target_index"] = dfa_target_index
        if sum_values is not UNSET:
            field_dict["sum_values"] = sum_values

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        source = d.pop("source")

        index = d.pop("index")

        values = cast(list[float], d.pop("values"))

        max_value = d.pop("max_value")

        max_value_index = d.pop("max_value_index")

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

        dfa_values = _parse_dfa_values(d.pop("dfa_values", UNSET))

        def _parse_dfa_max_value(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        dfa_max_value = _parse_dfa_max_value(d.pop("dfa_max_value", UNSET))

        def _parse_dfa_target_index(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        dfa_target_index = _parse_dfa_target_index(d.pop("dfa_target_index", UNSET))

        def _parse_sum_values(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        sum_values = _parse_sum_values(d.pop("sum_values", UNSET))

        feature_activation = cls(
            source=source,
            index=index,
            values=values,
            max_value=max_value,
            max_value_index=max_value_index,
            dfa_values=dfa_values,
            dfa_max_value=dfa_max_value,
            dfa_target_index=dfa_target_index,
            sum_values=sum_values,
        )

        feature_activation.additional_properties = d
        return feature_activation

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
