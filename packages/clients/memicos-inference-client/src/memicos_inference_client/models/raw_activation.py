from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="RawActivation")


@_attrs_define
class RawActivation:
    """Activations of one prompt at one hook point.

    Attributes:
        layer (int | None): Layer of the hook point, from 0; null if it belongs to no layer.
        hook (str): TransformerLens name of the hook point.
        token_indices (list[int]): Token position, from 0, of each row of `values`.
        values (list[list[float]]): Activations, [position in token_indices][dimension]; each row has the width of the
            hook point.
    """

    layer: int | None
    hook: str
    token_indices: list[int]
    values: list[list[float]]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        layer: int | None
        layer = self.layer

        hook = self.hook

        token_indices = self.token_indices

        values = []
        for values_item_data in self.values:
            values_item = values_item_data

            values.append(values_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "layer": layer,
                "hook": hook,
                "token_indices": token_indices,
                "values": values,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_layer(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        layer = _parse_layer(d.pop("layer"))

        hook = d.pop("hook")

        token_indices = cast(list[int], d.pop("token_indices"))

        values = []
        _values = d.pop("values")
        for values_item_data in _values:
            values_item = cast(list[float], values_item_data)

            values.append(values_item)

        raw_activation = cls(
            layer=layer,
            hook=hook,
            token_indices=token_indices,
            values=values,
        )

        raw_activation.additional_properties = d
        return raw_activation

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
