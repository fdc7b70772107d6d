from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ModelRecipe")


@_attrs_define
class ModelRecipe:
    """How the model was run on the text.

    Attributes:
        model (str): Id of the model, as requests name it.
        weights (str): Origin of the model's weights: a hub id, or a short text.
        dtype (str): Data type that the model computes in: float32, bfloat16 or float16.
        weight_processing (Literal['none']): Processing of the weights; `none`: norms are not folded in and nothing is
            centred.
        prepend_bos (bool): Whether BOS is prepended, if the model has one.
    """

    model: str
    weights: str
    dtype: str
    weight_processing: Literal["none"]
    prepend_bos: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        weights = self.weights

        dtype = self.dtype

        weight_processing = self.weight_processing

        prepend_bos = self.prepend_bos

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "weights": weights,
                "dtype": dtype,
                "weight_processing": weight_processing,
                "prepend_bos": prepend_bos,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model = d.pop("model")

        weights = d.pop("weights")

        dtype = d.pop("dtype")

        weight_processing = cast(Literal["none"], d.pop("weight_processing"))
        if weight_processing != "none":
            raise ValueError(f"weight_processing must match const 'none', got '{weight_processing}'")

        prepend_bos = d.pop("prepend_bos")

        model_recipe = cls(
            model=model,
            weights=weights,
            dtype=dtype,
            weight_processing=weight_processing,
            prepend_bos=prepend_bos,
        )

        model_recipe.additional_properties = d
        return model_recipe

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
