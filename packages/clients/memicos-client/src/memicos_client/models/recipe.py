from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.sae_recipe import SaeRecipe


T = TypeVar("T", bound="Recipe")


@_attrs_define
class Recipe:
    """How values of features were computed from text.

    Attributes:
        model (str): id of the model
        weights (str): origin of the model's weights: an id on the Hugging Face hub, or a description
        dtype (str): number format that the model computes in, such as float32 or bfloat16
        weight_processing (str): how the weights were changed on loading, such as none or folded LayerNorm weights
        prepend_bos (bool): whether BOS is prepended, in a model that has one
        hook_name (str): hook point that the source reads, by its name in TransformerLens
        context_size (int | None): tokens of a window of the texts, or of training where a text is run
        ignored_positions (list[int]): token positions whose values have no meaning, 0 is the first; norm_cut may add
            others
        norm_cut (float | None): tokens whose residual stream has a larger L2 norm do not count; null: all do
        sae (None | SaeRecipe): null for neurons, which have no SAE
    """

    model: str
    weights: str
    dtype: str
    weight_processing: str
    prepend_bos: bool
    hook_name: str
    context_size: int | None
    ignored_positions: list[int]
    norm_cut: float | None
    sae: None | SaeRecipe
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.sae_recipe import SaeRecipe  # noqa: PLC0415

        model = self.model

        weights = self.weights

        dtype = self.dtype

        weight_processing = self.weight_processing

        prepend_bos = self.prepend_bos

        hook_name = self.hook_name

        context_size: int | None
        context_size = self.context_size

        ignored_positions = self.ignored_positions

        norm_cut: float | None
        norm_cut = self.norm_cut

        sae: dict[str, Any] | None
        if isinstance(self.sae, SaeRecipe):
            sae = self.sae.to_dict()
        else:
            sae = self.sae

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "model": model,
                "weights": weights,
                "dtype": dtype,
                "weight_processing": weight_processing,
                "prepend_bos": prepend_bos,
                "hook_name": hook_name,
                "context_size": context_size,
                "ignored_positions": ignored_positions,
                "norm_cut": norm_cut,
                "sae": sae,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.sae_recipe import SaeRecipe  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        weights = d.pop("weights")

        dtype = d.pop("dtype")

        weight_processing = d.pop("weight_processing")

        prepend_bos = d.pop("prepend_bos")

        hook_name = d.pop("hook_name")

        def _parse_context_size(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        context_size = _parse_context_size(d.pop("context_size"))

        ignored_positions = cast(list[int], d.pop("ignored_positions"))

        def _parse_norm_cut(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        norm_cut = _parse_norm_cut(d.pop("norm_cut"))

        def _parse_sae(data: object) -> None | SaeRecipe:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                sae_type_0 = SaeRecipe.from_dict(data)

                return sae_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | SaeRecipe, data)

        sae = _parse_sae(d.pop("sae"))

        recipe = cls(
            model=model,
            weights=weights,
            dtype=dtype,
            weight_processing=weight_processing,
            prepend_bos=prepend_bos,
            hook_name=hook_name,
            context_size=context_size,
            ignored_positions=ignored_positions,
            norm_cut=norm_cut,
            sae=sae,
        )

        recipe.additional_properties = d
        return recipe

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
