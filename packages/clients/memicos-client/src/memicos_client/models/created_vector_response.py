from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.created_vector import CreatedVector


T = TypeVar("T", bound="CreatedVectorResponse")


@_attrs_define
class CreatedVectorResponse:
    """
    Attributes:
        message (str): says that the vector was stored
        url (str): the vector's page
        vector (CreatedVector): A vector as the response to its upload names its fields.
    """

    message: str
    url: str
    vector: CreatedVector
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        message = self.message

        url = self.url

        vector = self.vector.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "message": message,
                "url": url,
                "vector": vector,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.created_vector import CreatedVector  # noqa: PLC0415

        d = dict(src_dict)
        message = d.pop("message")

        url = d.pop("url")

        vector = CreatedVector.from_dict(d.pop("vector"))

        created_vector_response = cls(
            message=message,
            url=url,
            vector=vector,
        )

        created_vector_response.additional_properties = d
        return created_vector_response

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
