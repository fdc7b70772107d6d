from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="TopkRequest")


@_attrs_define
class TopkRequest:
    """The strongest features of one source at each token of a prompt.

    Attributes:
        model (str): Id of the model, one of `accepted_models` in the capabilities.
        source (str): Id of the source, one of `sources` in the capabilities, for example 15-res-4k.
        prompt (str): Text to run the model on. BOS is not prepended to a text that begins with it.
        top_k (int | None | Unset): Largest number of features per token, at most `max_top_k` in the capabilities'
            limits; null: 5. Default: 5.
        ignore_bos (bool | Unset): Whether to leave ignored positions out of `results`. Default: True.
    """

    model: str
    source: str
    prompt: str
    top_k: int | None | Unset = 5
    ignore_bos: bool | Unset = True
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        source = self.source

        prompt = self.prompt

        top_k: int | None | Unset
        if isinstance(self.top_k, Unset):
            top_k = UNSET
        else:
            top_k = self.top_k

        ignore_bos = self.ignore_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "source": source,
                "prompt": prompt,
            }
        )
        if top_k is not UNSET:
            field_dict["top_k"] = top_k
        if ignore_bos is not UNSET:
            field_dict["ignore_bos"] = ignore_bos

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model = d.pop("model")

        source = d.pop("source")

        prompt = d.pop("prompt")

        def _parse_top_k(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        top_k = _parse_top_k(d.pop("top_k", UNSET))

        ignore_bos = d.pop("ignore_bos", UNSET)

        topk_request = cls(
            model=model,
            source=source,
            prompt=prompt,
            top_k=top_k,
            ignore_bos=ignore_bos,
        )

        topk_request.additional_properties = d
        return topk_request

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
