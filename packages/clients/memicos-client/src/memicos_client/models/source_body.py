from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.recipe import Recipe
    from ..models.source_body_saelensconfig import SourceBodySaelensconfig


T = TypeVar("T", bound="SourceBody")


@_attrs_define
class SourceBody:
    """An SAE at one hook point.

    Attributes:
        id (str): id of the source: <layer>-<set>
        model_id (str): id of the model
        set_name (str): name of the source set
        layer (int): number of the layer, 0 is the first
        hook_name (str): hook point that the source reads
        architecture (str): architecture of the SAE
        d_sae (int): number of features
        saelens_config (SourceBodySaelensconfig): configuration of the SAE in SAELens' format
        recipe (Recipe): How values of features were computed from text.
        num_prompts (int): contexts of the corpus
        num_tokens_in_prompt (int): tokens of each context
        dataset (str): name of the corpus
    """

    id: str
    model_id: str
    set_name: str
    layer: int
    hook_name: str
    architecture: str
    d_sae: int
    saelens_config: SourceBodySaelensconfig
    recipe: Recipe
    num_prompts: int
    num_tokens_in_prompt: int
    dataset: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        model_id = self.model_id

        set_name = self.set_name

        layer = self.layer

        hook_name = self.hook_name

        architecture = self.architecture

        d_sae = self.d_sae

        saelens_config = self.saelens_config.to_dict()

        recipe = self.recipe.to_dict()

        num_prompts = self.num_prompts

        num_tokens_in_prompt = self.num_tokens_in_prompt

        dataset = self.dataset

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "modelId": model_id,
                "setName": set_name,
                "layer": layer,
                "hookName": hook_name,
                "architecture": architecture,
                "dSae": d_sae,
                "saelensConfig": saelens_config,
                "recipe": recipe,
                "num_prompts": num_prompts,
                "num_tokens_in_prompt": num_tokens_in_prompt,
                "dataset": dataset,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.recipe import Recipe  # noqa: PLC0415
        from ..models.source_body_saelensconfig import SourceBodySaelensconfig  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        model_id = d.pop("modelId")

        set_name = d.pop("setName")

        layer = d.pop("layer")

        hook_name = d.pop("hookName")

        architecture = d.pop("architecture")

        d_sae = d.pop("dSae")

        saelens_config = SourceBodySaelensconfig.from_dict(d.pop("saelensConfig"))

        recipe = Recipe.from_dict(d.pop("recipe"))

        num_prompts = d.pop("num_prompts")

        num_tokens_in_prompt = d.pop("num_tokens_in_prompt")

        dataset = d.pop("dataset")

        source_body = cls(
            id=id,
            model_id=model_id,
            set_name=set_name,
            layer=layer,
            hook_name=hook_name,
            architecture=architecture,
            d_sae=d_sae,
            saelens_config=saelens_config,
            recipe=recipe,
            num_prompts=num_prompts,
            num_tokens_in_prompt=num_tokens_in_prompt,
            dataset=dataset,
        )

        source_body.additional_properties = d
        return source_body

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
