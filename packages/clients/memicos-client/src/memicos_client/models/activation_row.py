from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ActivationRow")


@_attrs_define
class ActivationRow:
    """An example: a context with the feature's value at every position, BOS included.

    Attributes:
        id (str): id of the example within the current load
        model_id (str): id of the model
        layer (str): id of the source
        source (str): id of the source
        index (str): index of the feature in its source, 0 is the first, as a string of digits
        tokens (list[str]): the context's tokens, BOS included
        token_ids (list[int] | None): id of each token in the model's vocabulary, BOS included; null where the dataset
            has none
        values (list[float]): activation of the feature at each token; as many as tokens
        max_value (float): largest of values
        max_value_token_index (int): token position of maxValue; 0 is the first token, BOS included
        min_value (float): smallest of values
        qualifying_token_index (int): token position for whose activation the context was chosen; in an interval it need
            not be the strongest
        bin_min (float): lower end of the activation interval; -1 for the strongest examples
        bin_max (float): upper end of the activation interval; for the strongest examples the feature's maximum
        bin_contains (float | None): share of activations inside the interval, 0 to 1; null for the strongest examples
        data_index (None | str): number of the context in its corpus
        data_source (None | str): collection of the corpus that the text comes from
        document (None | str): title of the text
        license_ (None | str): licence of the collection
        dfa_values (list[float] | Unset): direct feature attribution: what each token, as a source of attention, adds to
            the activation at dfaTargetIndex;
            as many as tokens, empty where the dataset has none
        dfa_target_index (int | None | Unset): token position whose activation dfaValues add up to; null where the
            dataset does not say it
        dfa_max_value (float | None | Unset): largest of dfaValues; null without them
    """

    id: str
    model_id: str
    layer: str
    source: str
    index: str
    tokens: list[str]
    token_ids: list[int] | None
    values: list[float]
    max_value: float
    max_value_token_index: int
    min_value: float
    qualifying_token_index: int
    bin_min: float
    bin_max: float
    bin_contains: float | None
    data_index: None | str
    data_source: None | str
    document: None | str
    license_: None | str
    dfa_values: list[float] | Unset = UNSET
    dfa_target_index: int | None | Unset = UNSET
    dfa_max_value: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        model_id = self.model_id

        layer = self.layer

        source = self.source

        index = self.index

        tokens = self.tokens

        token_ids: list[int] | None
        if isinstance(self.token_ids, list):
            token_ids = self.token_ids

        else:
            token_ids = self.token_ids

        values = self.values

        max_value = self.max_value

        max_value_token_index = self.max_value_token_index

        min_value = self.min_value

        qualifying_token_index = self.qualifying_token_index

        bin_min = self.bin_min

        bin_max = self.bin_max

        bin_contains: float | None
        bin_contains = self.bin_contains

        data_index: None | str
        data_index = self.data_index

        data_source: None | str
        data_source = self.data_source

        document: None | str
        document = self.document

        license_: None | str
        license_ = self.license_

        dfa_values: list[float] | Unset = UNSET
        if not isinstance(self.dfa_values, Unset):
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
                "id": id,
                "modelId": model_id,
                "layer": layer,
                "source": source,
                "index": index,
                "tokens": tokens,
                "tokenIds": token_ids,
                "values": values,
                "maxValue": max_value,
                "maxValueTokenIndex": max_value_token_index,
                "minValue": min_value,
                "qualifyingTokenIndex": qualifying_token_index,
                "binMin": bin_min,
                "binMax": bin_max,
                "binContains": bin_contains,
                "dataIndex": data_index,
                "dataSource": data_source,
                "document": document,
                "license": license_,
            }
        )
        if dfa_values is not UNSET:
            field_dict["dfaValues"] = dfa_values
        if dfa_target_index is not UNSET:
            field_dict["dfaTargetIndex"] = dfa_target_index
        if dfa_max_value is not UNSET:
            field_dict["dfaMaxValue"] = dfa_max_value

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        model_id = d.pop("modelId")

        layer = d.pop("layer")

        source = d.pop("source")

        index = d.pop("index")

        tokens = cast(list[str], d.pop("tokens"))

        def _parse_token_ids(data: object) -> list[int] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                token_ids_type_0 = cast(list[int], data)

                return token_ids_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[int] | None, data)

        token_ids = _parse_token_ids(d.pop("tokenIds"))

        values = cast(list[float], d.pop("values"))

        max_value = d.pop("maxValue")

        max_value_token_index = d.pop("maxValueTokenIndex")

        min_value = d.pop("minValue")

        qualifying_token_index = d.pop("qualifyingTokenIndex")

        bin_min = d.pop("binMin")

        bin_max = d.pop("binMax")

        def _parse_bin_contains(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        bin_contains = _parse_bin_contains(d.pop("binContains"))

        def _parse_data_index(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        data_index = _parse_data_index(d.pop("dataIndex"))

        def _parse_data_source(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        data_source = _parse_data_source(d.pop("dataSource"))

        def _parse_document(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        document = _parse_document(d.pop("document"))

        def _parse_license_(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        license_ = _parse_license_(d.pop("license"))

        dfa_values = cast(list[float], d.pop("dfaValues", UNSET))

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

        activation_row = cls(
            id=id,
            model_id=model_id,
            layer=layer,
            source=source,
            index=index,
            tokens=tokens,
            token_ids=token_ids,
            values=values,
            max_value=max_value,
            max_value_token_index=max_value_token_index,
            min_value=min_value,
            qualifying_token_index=qualifying_token_index,
            bin_min=bin_min,
            bin_max=bin_max,
            bin_contains=bin_contains,
            data_index=data_index,
            data_source=data_source,
            document=document,
            license_=license_,
            dfa_values=dfa_values,
            dfa_target_index=dfa_target_index,
            dfa_max_value=dfa_max_value,
        )

        activation_row.additional_properties = d
        return activation_row

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
