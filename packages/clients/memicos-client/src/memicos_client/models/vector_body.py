from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.visibility import Visibility, check_visibility

T = TypeVar("T", bound="VectorBody")


@_attrs_define
class VectorBody:
    """A vector with its address.

    Attributes:
        model_id (str): id of the model
        layer (str): what stands for a source in the vector's address
        index (str): index in the vector's address, as a string of digits
        vector_label (str): what the vector stands for
        hook_name (str): name of the hook point in TransformerLens
        vector (list[float]): the direction
        vector_default_steer_strength (float | None): strength that the steer page proposes; null: none
        visibility (Visibility): Who may read an entry, from the widest to the narrowest;
            `memicos_webapp.catalog.visibility` has the rules.
        created_at (datetime.datetime): when it was uploaded
    """

    model_id: str
    layer: str
    index: str
    vector_label: str
    hook_name: str
    vector: list[float]
    vector_default_steer_strength: float | None
    visibility: Visibility
    created_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer = self.layer

        index = self.index

        vector_label = self.vector_label

        hook_name = self.hook_name

        vector = self.vector

        vector_default_steer_strength: float | None
        vector_default_steer_strength = self.vector_default_steer_strength

        visibility: str = self.visibility

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "layer": layer,
                "index": index,
                "vectorLabel": vector_label,
                "hookName": hook_name,
                "vector": vector,
                "vectorDefaultSteerStrength": vector_default_steer_strength,
                "visibility": visibility,
                "createdAt": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        index = d.pop("index")

        vector_label = d.pop("vectorLabel")

        hook_name = d.pop("hookName")

        vector = cast(list[float], d.pop("vector"))

        def _parse_vector_default_steer_strength(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        vector_default_steer_strength = _parse_vector_default_steer_strength(d.pop("vectorDefaultSteerStrength"))

        visibility = check_visibility(d.pop("visibility"))

        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        vector_body = cls(
            model_id=model_id,
            layer=layer,
            index=index,
            vector_label=vector_label,
            hook_name=hook_name,
            vector=vector,
            vector_default_steer_strength=vector_default_steer_strength,
            visibility=visibility,
            created_at=created_at,
        )

        vector_body.additional_properties = d
        return vector_body

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
