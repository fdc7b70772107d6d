from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.new_vector_request_hooktype import (
    NewVectorRequestHooktype,
    check_new_vector_request_hooktype,
)
from ..models.visibility import Visibility, check_visibility
from ..types import UNSET, Unset

T = TypeVar("T", bound="NewVectorRequest")


@_attrs_define
class NewVectorRequest:
    """
    Attributes:
        model_id (str): id of the model
        layer_number (int): layer of the hook point, 0 is the first
        hook_type (NewVectorRequestHooktype): hook point in the layer, by its name in TransformerLens
        vector (list[float]): the direction: as many numbers as the model's residual stream is wide, not all 0
        vector_label (str): what the vector stands for, in characters at most 200 (setting
            MEMICOS_VECTOR_LABEL_CHARACTERS)
        vector_default_steer_strength (float | None | Unset): strength that the steer page proposes, in either direction
            at most 10000 (setting MEMICOS_STEER_STRENGTH) Default: 10.0.
        visibility (Visibility | Unset): Who may read an entry, from the widest to the narrowest;
            `memicos_webapp.catalog.visibility` has the rules.
    """

    model_id: str
    layer_number: int
    hook_type: NewVectorRequestHooktype
    vector: list[float]
    vector_label: str
    vector_default_steer_strength: float | None | Unset = 10.0
    visibility: Visibility | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer_number = self.layer_number

        hook_type: str = self.hook_type

        vector = self.vector

        vector_label = self.vector_label

        vector_default_steer_strength: float | None | Unset
        if isinstance(self.vector_default_steer_strength, Unset):
            vector_default_steer_strength = UNSET
        else:
            vector_default_steer_strength = self.vector_default_steer_strength

        visibility: str | Unset = UNSET
        if not isinstance(self.visibility, Unset):
            visibility = self.visibility

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "layerNumber": layer_number,
                "hookType": hook_type,
                "vector": vector,
                "vectorLabel": vector_label,
            }
        )
        if vector_default_steer_strength is not UNSET:
            field_dict["vectorDefaultSteerStrength"] = vector_default_steer_strength
        if visibility is not UNSET:
            field_dict["visibility"] = visibility

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer_number = d.pop("layerNumber")

        hook_type = check_new_vector_request_hooktype(d.pop("hookType"))

        vector = cast(list[float], d.pop("vector"))

        vector_label = d.pop("vectorLabel")

        def _parse_vector_default_steer_strength(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        vector_default_steer_strength = _parse_vector_default_steer_strength(d.pop("vectorDefaultSteerStrength", UNSET))

        _visibility = d.pop("visibility", UNSET)
        visibility: Visibility | Unset
        if isinstance(_visibility, Unset):
            visibility = UNSET
        else:
            visibility = check_visibility(_visibility)

        new_vector_request = cls(
            model_id=model_id,
            layer_number=layer_number,
            hook_type=hook_type,
            vector=vector,
            vector_label=vector_label,
            vector_default_steer_strength=vector_default_steer_strength,
            visibility=visibility,
        )

        new_vector_request.additional_properties = d
        return new_vector_request

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
