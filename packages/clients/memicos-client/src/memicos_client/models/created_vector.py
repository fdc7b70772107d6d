from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="CreatedVector")


@_attrs_define
class CreatedVector:
    """A vector as the response to its upload names its fields.

    Attributes:
        model_id (str): id of the model
        source (str): what stands for a source in the vector's address
        index (str): index in the vector's address, as a string of digits
        label (str): what the vector stands for
        created_at (datetime.datetime): when it was uploaded
        default_steer_strength (float | None): strength that the steer page proposes; null: none
        hook_name (str): name of the hook point in TransformerLens
        values (list[float]): the direction
    """

    model_id: str
    source: str
    index: str
    label: str
    created_at: datetime.datetime
    default_steer_strength: float | None
    hook_name: str
    values: list[float]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        source = self.source

        index = self.index

        label = self.label

        created_at = self.created_at.isoformat()

        default_steer_strength: float | None
        default_steer_strength = self.default_steer_strength

        hook_name = self.hook_name

        values = self.values

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "source": source,
                "index": index,
                "label": label,
                "createdAt": created_at,
                "defaultSteerStrength": default_steer_strength,
                "hookName": hook_name,
                "values": values,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model_id = d.pop("modelId")

        source = d.pop("source")

        index = d.pop("index")

        label = d.pop("label")

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        def _parse_default_steer_strength(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        default_steer_strength = _parse_default_steer_strength(d.pop("defaultSteerStrength"))

        hook_name = d.pop("hookName")

        values = cast(list[float], d.pop("values"))

        created_vector = cls(
            model_id=model_id,
            source=source,
            index=index,
            label=label,
            created_at=created_at,
            default_steer_strength=default_steer_strength,
            hook_name=hook_name,
            values=values,
        )

        created_vector.additional_properties = d
        return created_vector

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
