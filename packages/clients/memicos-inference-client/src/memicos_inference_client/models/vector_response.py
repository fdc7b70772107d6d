from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.vector_response_which import (
    VectorResponseWhich,
    check_vector_response_which,
)

T = TypeVar("T", bound="VectorResponse")


@_attrs_define
class VectorResponse:
    """A vector of a feature.

    Attributes:
        vector (list[float]): The vector: d_in numbers for `encoder`; for `decoder` as many as `steer_hook` is wide.
        hook_name (str): TransformerLens name of the hook point that the source reads.
        which (VectorResponseWhich): Which of the two vectors this is, as requested.
    """

    vector: list[float]
    hook_name: str
    which: VectorResponseWhich
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        vector = self.vector

        hook_name = self.hook_name

        which: str = self.which

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "vector": vector,
                "hookName": hook_name,
                "which": which,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        vector = cast(list[float], d.pop("vector"))

        hook_name = d.pop("hookName")

        which = check_vector_response_which(d.pop("which"))

        vector_response = cls(
            vector=vector,
            hook_name=hook_name,
            which=which,
        )

        vector_response.additional_properties = d
        return vector_response

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
