from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.uploaded_activation import UploadedActivation


T = TypeVar("T", bound="UploadActivationsRequest")


@_attrs_define
class UploadActivationsRequest:
    """
    Attributes:
        model_id (str): id of the model
        layer (str): id of the source; also accepted as `source`
        index (int | str): index of the feature in its source, 0 is the first; a number, or a string of digits
        activations (list[UploadedActivation]): texts that the vector's page shows; of one vector at most 200 (setting
            MEMICOS_VECTOR_EXAMPLES)
    """

    model_id: str
    layer: str
    index: int | str
    activations: list[UploadedActivation]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        layer = self.layer

        index: int | str
        index = self.index

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
                "index": index,
                "activations": activations,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.uploaded_activation import UploadedActivation  # noqa: PLC0415

        d = dict(src_dict)
        model_id = d.pop("modelId")

        layer = d.pop("layer")

        def _parse_index(data: object) -> int | str:
            return cast(int | str, data)

        index = _parse_index(d.pop("index"))

        activations = []
        _activations = d.pop("activations")
        for activations_item_data in _activations:
            activations_item = UploadedActivation.from_dict(activations_item_data)

            activations.append(activations_item)

        upload_activations_request = cls(
            model_id=model_id,
            layer=layer,
            index=index,
            activations=activations,
        )

        upload_activations_request.additional_properties = d
        return upload_activations_request

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
