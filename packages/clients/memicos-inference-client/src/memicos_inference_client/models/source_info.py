from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.recipe import Recipe


T = TypeVar("T", bound="SourceInfo")


@_attrs_define
class SourceInfo:
    """A source (an SAE, or the model's neurons) that this server can run.

    Attributes:
        id (str): Id of the source, for example 15-res-4k.
        source_set (str): Name of its source set, for example res-4k.
        hook (str): TransformerLens name of the hook point that it reads.
        steer_hook (str): Hook point at which its features are steered: the output of a transcoder, else `hook`.
        layer (int): Layer of `hook`, from 0.
        d_in (int): Width of `hook`, the number of inputs.
        d_sae (int): Number of features.
        architecture (str): Architecture, for example standard, jumprelu, topk or neurons.
        prepend_bos (bool): Whether BOS is prepended to prompts, as in training.
        context_size (int | None): Tokens per training context; null if unknown.
        ignored_positions (list[int]): Token positions, from 0, at which values have no meaning in any prompt;
            `norm_cut` adds others.
        norm_cut (float | None): Positions whose activation has a larger L2 norm were excluded from training; null: none
            were.
        loaded (bool): Whether its weights are in memory; others are read on first use.
        recipe (Recipe): How values of features, or of a vector, were computed from the text.
    """

    id: str
    source_set: str
    hook: str
    steer_hook: str
    layer: int
    d_in: int
    d_sae: int
    architecture: str
    prepend_bos: bool
    context_size: int | None
    ignored_positions: list[int]
    norm_cut: float | None
    loaded: bool
    recipe: Recipe
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        source_set = self.source_set

        hook = self.hook

        steer_hook = self.steer_hook

        layer = self.layer

        d_in = self.d_in

        d_sae = self.d_sae

        architecture = self.architecture

        prepend_bos = self.prepend_bos

        context_size: int | None
        context_size = self.context_size

        ignored_positions = self.ignored_positions

        norm_cut: float | None
        norm_cut = self.norm_cut

        loaded = self.loaded

        recipe = self.recipe.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "source_set": source_set,
                "hook": hook,
                "steer_hook": steer_hook,
                "layer": layer,
                "d_in": d_in,
                "d_sae": d_sae,
                "architecture": architecture,
                "prepend_bos": prepend_bos,
                "context_size": context_size,
                "ignored_positions": ignored_positions,
                "norm_cut": norm_cut,
                "loaded": loaded,
                "recipe": recipe,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.recipe import Recipe  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        source_set = d.pop("source_set")

        hook = d.pop("hook")

        steer_hook = d.pop("steer_hook")

        layer = d.pop("layer")

        d_in = d.pop("d_in")

        d_sae = d.pop("d_sae")

        architecture = d.pop("architecture")

        prepend_bos = d.pop("prepend_bos")

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

        loaded = d.pop("loaded")

        recipe = Recipe.from_dict(d.pop("recipe"))

        source_info = cls(
            id=id,
            source_set=source_set,
            hook=hook,
            steer_hook=steer_hook,
            layer=layer,
            d_in=d_in,
            d_sae=d_sae,
            architecture=architecture,
            prepend_bos=prepend_bos,
            context_size=context_size,
            ignored_positions=ignored_positions,
            norm_cut=norm_cut,
            loaded=loaded,
            recipe=recipe,
        )

        source_info.additional_properties = d
        return source_info

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
