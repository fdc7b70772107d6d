from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SourceRequest")


@_attrs_define
class SourceRequest:
    """Every active feature of one source on several prompts.

    Attributes:
        prompts (list[str]): Texts to run the model on, at most `max_prompts` in the capabilities' limits; each gets the
            result it would get alone, up to rounding.
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        source (str): Id of the source, one of `sources` in the capabilities, for example 15-res-4k.
        ignore_bos (bool | Unset): Whether to leave ignored positions out of `activeFeatures`. Default: True.
    """

    prompts: list[str]
    model: str
    source: str
    ignore_bos: bool | Unset = True
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        prompts = self.prompts

        model = self.model

        source = self.source

        ignore_bos = self.ignore_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "prompts": prompts,
                "model": model,
                "source": source,
            }
        )
        if ignore_bos is not UNSET:
            field_dict["ignore_bos"] = ignore_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        prompts = cast(list[str], d.pop("prompts"))

        model = d.pop("model")

        source = d.pop("source")

        ignore_bos = d.pop("ignore_bos", UNSET)

        source_request = cls(
            prompts=prompts,
            model=model,
            source=source,
            ignore_bos=ignore_bos,
        )

        source_request.additional_properties = d
        return source_request

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
