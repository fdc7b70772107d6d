from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.recipe import Recipe


T = TypeVar("T", bound="Activation")


@_attrs_define
class Activation:
    """Values over the tokens of one prompt; every position is there, BOS included.

    Attributes:
        model_id (str): id of the model
        layer (str): id of the source, the same as source
        source (str): id of the source
        index (str): index of the feature in its source, 0 is the first, as a string of digits
        tokens (list[str]): text of each token that the model read, a prepended BOS included
        values (list[float]): activation of the feature at each token; as many as tokens
        max_value (float): largest of values; with ignoreBos the ignored positions are left out
        max_value_token_index (int): token position of maxValue; 0 is the first token, a prepended BOS included
        min_value (float): smallest of values, ignored positions included
        created_at (datetime.datetime): when the values were computed, in UTC
        token_ids (list[int]): id of each token in the model's vocabulary; as many as tokens
        ignored_positions (list[int]): token positions where the source's activations have no meaning, such as BOS
        prepended_bos (bool): whether BOS was prepended; false where the prompt itself begins with BOS
        recipe (Recipe): How values of features were computed from text.
        data_index (None | Unset): always null: the text is not of the corpus
        data_source (Literal['memicos'] | Unset): always memicos: computed by this server Default: 'memicos'.
        dfa_values (list[float] | None | Unset): always null: direct feature attribution is not computed
        dfa_target_index (int | None | Unset): always null: direct feature attribution is not computed
        dfa_max_value (float | None | Unset): always null: direct feature attribution is not computed
    """

    model_id: str
    layer: str
    source: str
    index: str
    tokens: list[str]
    values: list[float]
    max_value: float
    max_value_token_index: int
    min_value: float
    created_at: datetime.datetime
    token_ids: list[int]
    ignored_positions: list[int]
    prepended_bos: bool
    recipe: Recipe
    data_index: None | Unset = UNSET
    data_source: Literal["memicos"] | Unset = "memicos"
    dfa_values: list[float] | None | Unset = UNSET
    dfa_target_index: int | None | Unset = UNSET
    dfa_max_value: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer = self.layer

        source = self.source

        index = self.index

        tokens = self.tokens

        values = self.values

        max_value = self.max_value

        max_value_token_index = self.max_value_token_index

        min_value = self.min_value

        created_at = self.created_at.isoformat()

        token_ids = self.token_ids

        ignored_positions = self.ignored_positions

        prepended_bos = self.prepended_bos

        recipe = self.recipe.to_dict()

        data_index = self.data_index

        data_source = self.data_source

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
                "tokens": tokens,
                "values": values,
                "maxValue": max_value,
                "maxValueTokenIndex": max_value_token_index,
                "minValue": min_value,
                "createdAt": created_at,
                "tokenIds": token_ids,
                "ignoredPositions": ignored_positions,
                "prependedBos": prepended_bos,
                "recipe": recipe,
            }
        )
        if data_index is not UNSET:
            field_dict["dataIndex"] = data_index
        if data_source is not UNSET:
            field_dict["dataSource"] = data_source
        if dfa_values is not UNSET:
            field_dict["dfaValues"] = dfa_values
        if dfa_target_index is not UNSET:
            field_dict["dfaTargetIndex"] = dfa_target_index
        if dfa_max_value is not UNSET:
            field_dict["dfaMaxValue"] = dfa_max_value

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.recipe import Recipe  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        source = d.pop("source")

        index = d.pop("index")

        tokens = cast(list[str], d.pop("tokens"))

        values = cast(list[float], d.pop("values"))

        max_value = d.pop("maxValue")

        max_value_token_index = d.pop("maxValueTokenIndex")

        min_value = d.pop("minValue")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        token_ids = cast(list[int], d.pop("tokenIds"))

        ignored_positions = cast(list[int], d.pop("ignoredPositions"))

        prepended_bos = d.pop("prependedBos")

        recipe = Recipe.from_dict(d.pop("recipe"))

        data_index = d.pop("dataIndex", UNSET)

        data_source = cast(Literal["memicos"] | Unset, d.pop("dataSource", UNSET))
        if data_source != "memicos" and not isinstance(data_source, Unset):
            raise ValueError(f"dataSource must match const 'memicos', got '{data_source}'")

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

        activation = cls(
            model_id=model_id,
            layer=layer,
            source=source,
            index=index,
            tokens=tokens,
            values=values,
            max_value=max_value,
            max_value_token_index=max_value_token_index,
            min_value=min_value,
            created_at=created_at,
            token_ids=token_ids,
            ignored_positions=ignored_positions,
            prepended_bos=prepended_bos,
            recipe=recipe,
            data_index=data_index,
            data_source=data_source,
            dfa_values=dfa_values,
            dfa_target_index=dfa_target_index,
            dfa_max_value=dfa_max_value,
        )

        activation.additional_properties = d
        return activation

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
