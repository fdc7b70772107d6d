"""How text became the activations of an answer: named in every answer that has some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from memicos_inference.http.api_model import ApiModel

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources.source import SourceInfo

    from memicos_inference.loaded_model import LoadedModel


class ModelRecipe(ApiModel):
    """How text was run through the model."""

    model: str = Field(description="the id that requests name as `model`")
    weights: str = Field(description="what the weights are: a hub id, or words")
    dtype: str = Field(description="what the model computes in")
    weight_processing: Literal["none"] = Field(description="no folding of norms, no centring")
    prepend_bos: bool = Field(description="whether BOS is put in front, in a model that has one")


class SaeRecipe(ApiModel):
    """How values come from activations at the hook."""

    weights: str = Field(description="a folder's name, or hf:<owner>/<name>/<path> for a place in the hub")
    architecture: str
    dtype: str = Field(description="what the SAE computes in")
    normalize_activations: str = Field(
        description="what is done to activations first: none, layer_norm, constant_norm_rescale, or "
        "expected_average_only_in (multiplied by norm_scaling_factor, where there is one)"
    )
    norm_scaling_factor: float | None
    unit_directions: bool = Field(
        description="values are multiplied by the length of the feature's decoder row, where that is not 1"
    )


class Recipe(ModelRecipe):
    """How text became values of features, or of a vector."""

    hook_name: str = Field(description="TransformerLens' name of the hook point that is read")
    context_size: int | None = Field(description="tokens of a training window; null for a vector")
    ignored_positions: list[int] = Field(description="positions where values mean nothing, beside those above norm_cut")
    norm_cut: float | None = Field(
        description="positions whose activation has a larger norm were left out of training; null: none were"
    )
    sae: SaeRecipe | None = Field(description="null for a vector, and for neurons: these are read as they are")


def model_recipe(loaded: LoadedModel, prepend_bos: bool) -> ModelRecipe:
    return ModelRecipe(
        model=loaded.accepted_names[0],
        weights=loaded.model.origin,
        dtype=loaded.settings.model_dtype,
        weight_processing="none",
        prepend_bos=prepend_bos,
    )


def source_recipe(loaded: LoadedModel, source: SourceInfo) -> Recipe:
    from memicos_engine.capture.positions import ignored_positions
    from memicos_engine.sources.source import NEURON_ARCHITECTURE

    recipe = source.recipe
    sae = SaeRecipe(
        weights=loaded.source_cache.weights(source.id),
        architecture=source.architecture,
        dtype=loaded.settings.sae_dtype,
        normalize_activations=recipe.normalize_activations,
        norm_scaling_factor=recipe.norm_scaling_factor,
        unit_directions=source.unit_directions,
    )
    return Recipe(
        **model_recipe(loaded, recipe.prepend_bos).model_dump(),
        hook_name=recipe.hook_name,
        context_size=recipe.context_size,
        ignored_positions=ignored_positions(recipe, loaded.model.bos_token_id is not None),
        norm_cut=recipe.norm_cut,
        sae=None if source.architecture == NEURON_ARCHITECTURE else sae,
    )


def vector_recipe(loaded: LoadedModel, hook_name: str) -> Recipe:
    model = model_recipe(loaded, loaded.model.tokenizer_prepends_bos)
    return Recipe(
        **model.model_dump(), hook_name=hook_name, context_size=None, ignored_positions=[], norm_cut=None, sae=None
    )
