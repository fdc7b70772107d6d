from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SaeRecipe")


@_attrs_define
class SaeRecipe:
    """How an SAE computes its values from activations at the hook.

    Attributes:
        weights (str): a folder's name, or hf:<owner>/<name>/<path> for a place in the hub
        architecture (str): activation function of the SAE: standard (ReLU), jumprelu, topk and others
        dtype (str): number format that the SAE computes in, such as float32
        normalize_activations (str): normalisation of the activations before the encoder: none, layer_norm,
            constant_norm_rescale, or expected_average_only_in (multiplied by norm_scaling_factor, where there is one)
        norm_scaling_factor (float | None): factor on the activations before the encoder, for expected_average_only_in;
            null: none
        unit_directions (bool): values are multiplied by the length of the feature's decoder row, where that is not 1
    """

    weights: str
    architecture: str
    dtype: str
    normalize_activations: str
    norm_scaling_factor: float | None
    unit_directions: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        weights = self.weights

        architecture = self.architecture

        dtype = self.dtype

        normalize_activations = self.normalize_activations

        norm_scaling_factor: float | None
        norm_scaling_factor = self.norm_scaling_factor

        unit_directions = self.unit_directions

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "weights": weights,
                "architecture": architecture,
                "dtype": dtype,
                "normalize_activations": normalize_activations,
                "norm_scaling_factor": norm_scaling_factor,
                "unit_directions": unit_directions,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        weights = d.pop("weights")

        architecture = d.pop("architecture")

        dtype = d.pop("dtype")

        normalize_activations = d.pop("normalize_activations")

        def _parse_norm_scaling_factor(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        norm_scaling_factor = _parse_norm_scaling_factor(d.pop("norm_scaling_factor"))

        unit_directions = d.pop("unit_directions")

        sae_recipe = cls(
            weights=weights,
            architecture=architecture,
            dtype=dtype,
            normalize_activations=normalize_activations,
            norm_scaling_factor=norm_scaling_factor,
            unit_directions=unit_directions,
        )

        sae_recipe.additional_properties = d
        return sae_recipe

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
