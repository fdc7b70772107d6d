from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.sae_recipe import SaeRecipe


T = TypeVar("T", bound="Recipe")


@_attrs_define
class Recipe:
    """How values of features, or of a vector, were computed from the text.

    Attributes:
        model (str): Id of the model, as requests name it.
        weights (str): Origin of the model's weights: a hub id, or a short text.
        dtype (str): Data type that the model computes in: float32, bfloat16 or float16.
        weight_processing (Literal['none']): Processing of the weights; `none`: norms are not folded in and nothing is
            centred.
        prepend_bos (bool): Whether BOS is prepended, if the model has one.
        hook_name (str): TransformerLens name of the hook point that is read.
        context_size (int | None): Tokens per training context of the source; null if unknown, and for a vector.
        ignored_positions (list[int]): Token positions, from 0, at which values have no meaning in any prompt;
            `norm_cut` adds others.
        norm_cut (float | None): Positions whose activation has a larger L2 norm were excluded from training; null: none
            were.
        sae (None | SaeRecipe): How the SAE was run; null for a vector and for neurons, which are read without an SAE.
    """

    model: str
    weights: str
    dtype: str
    weight_processing: Literal["none"]
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

        weight_processing = cast(Literal["none"], d.pop("weight_processing"))
        if weight_processing != "none":
            raise ValueError(f"weight_processing must match const 'none', got '{weight_processing}'")

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
