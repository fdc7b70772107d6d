from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="TopkRequest")


@_attrs_define
class TopkRequest:
    """
    Attributes:
        model_id (str): id of the model
        source (str): id of the source
        text (list[str] | str): one text, or a list, at most 4 (setting MEMICOS_TEXTS_AT_ONCE)
        num_results (int | Unset): largest number of features at each token Default: 10.
        ignore_bos (bool | Unset): leave the recipe's ignored positions, such as BOS, out of the response Default: True.
        density_threshold (float | Unset): largest activation density: leave out features that are active on a larger
            share of counted tokens; 0 or -1: keep all Default: 0.01.
    """

    model_id: str
    source: str
    text: list[str] | str
    num_results: int | Unset = 10
    ignore_bos: bool | Unset = True
    density_threshold: float | Unset = 0.01
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model_id = self.model_id

        source = self.source

        text: list[str] | str
        if isinstance(self.text, list):
            text = self.text

        else:
            text = self.text

        num_results = self.num_results

        ignore_bos = self.ignore_bos

        density_threshold = self.density_threshold

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "modelId": model_id,
                "source": source,
                "text": text,
            }
        )
        if num_results is not UNSET:
            field_dict["numResults"] = num_results
        if ignore_bos is not UNSET:
            field_dict["ignoreBos"] = ignore_bos
        if density_threshold is not UNSET:
            field_dict["densityThreshold"] = density_threshold

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model_id = d.pop("modelId")

        source = d.pop("source")

        def _parse_text(data: object) -> list[str] | str:
            try:
                if not isinstance(data, list):
                    raise TypeError()
                text_type_1 = cast(list[str], data)

                return text_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | str, data)

        text = _parse_text(d.pop("text"))

        num_results = d.pop("numResults", UNSET)

        ignore_bos = d.pop("ignoreBos", UNSET)

        density_threshold = d.pop("densityThreshold", UNSET)

        topk_request = cls(
            model_id=model_id,
            source=source,
            text=text,
            num_results=num_results,
            ignore_bos=ignore_bos,
            density_threshold=density_threshold,
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
