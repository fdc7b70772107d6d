from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.vector_request_which import VectorRequestWhich, check_vector_request_which
from ..types import UNSET, Unset

T = TypeVar("T", bound="VectorRequest")


@_attrs_define
class VectorRequest:
    """Identifies a feature and which of its two vectors to return.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        source (str): Id of the source, one of `sources` in the capabilities, for example 15-res-4k.
        index (int | str): Index of the feature in its source, from 0; a string of digits is accepted too.
        which (VectorRequestWhich | Unset): `encoder` (the default, as published clients expect): the encoder column
            W_enc[:, index]. `decoder`: the decoder row W_dec[index], the direction used for steering. Default: 'encoder'.
    """

    model: str
    source: str
    index: int | str
    which: VectorRequestWhich | Unset = "encoder"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        source = self.source

        index: int | str
        index = self.index

        which: str | Unset = UNSET
        if not isinstance(self.which, Unset):
            which = self.which

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "source": source,
                "index": index,
            }
        )
        if which is not UNSET:
            field_dict["which"] = which

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model = d.pop("model")

        source = d.pop("source")

        def _parse_index(data: object) -> int | str:
            return cast(int | str, data)

        index = _parse_index(d.pop("index"))

        _which = d.pop("which", UNSET)
        which: VectorRequestWhich | Unset
        if isinstance(_which, Unset):
            which = UNSET
        else:
            which = check_vector_request_which(_which)

        vector_request = cls(
            model=model,
            source=source,
            index=index,
            which=which,
        )

        vector_request.additional_properties = d
        return vector_request

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
