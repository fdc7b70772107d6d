"""Recipe: how the activations in a response were computed. Part of every response with activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from memicos_engine.model.hook_names import canonical_hook_name
from pydantic import Field

from memicos_inference.http.api_model import ApiModel

if TYPE_CHECKING:  # imports torch
    from memicos_engine.sources.source import SourceInfo

    from memicos_inference.loaded_model import LoadedModel


class ModelRecipe(ApiModel):
    """How the model was run on the text."""

    model: str = Field(description="Id of the model, as requests name it.")
    weights: str = Field(description="Origin of the model's weights: a hub id, or a short text.")
    dtype: str = Field(description="Data type that the model computes in: float32, bfloat16 or float16.")
    weight_processing: Literal["none"] = Field(
        description="Processing of the weights; `none`: norms are not folded in and nothing is centred."
    )
    prepend_bos: bool = Field(description="Whether BOS is prepended, if the model has one.")


class SaeRecipe(ApiModel):
    """How the SAE computes feature activations from activations at the hook point."""

    weights: str = Field(
        description="Origin of the SAE's weights: a folder name, or hf:<owner>/<name>/<path> on the hub."
    )
    architecture: str = Field(description="Architecture of the SAE, for example standard, jumprelu or topk.")
    dtype: str = Field(description="Data type that the SAE computes in: float32, bfloat16 or float16.")
    normalize_activations: str = Field(
        description="Normalisation of activations before encoding: none, layer_norm, constant_norm_rescale, or "
        "expected_average_only_in (multiplication by `norm_scaling_factor`, if there is one)."
    )
    norm_scaling_factor: float | None = Field(
        description="Factor of activations under expected_average_only_in; null if there is none."
    )
    unit_directions: bool = Field(
        description="Whether values are in units of a decoder row of norm 1, that is, multiplied by the row's norm."
    )


class Recipe(ModelRecipe):
    """How values of features, or of a vector, were computed from the text."""

    hook_name: str = Field(description="TransformerLens name of the hook point that is read.")
    context_size: int | None = Field(
        description="Tokens per training context of the source; null if unknown, and for a vector."
    )
    ignored_positions: list[int] = Field(
        description="Token positions, from 0, at which values have no meaning in any prompt; `norm_cut` adds others."
    )
    norm_cut: float | None = Field(
        description="Positions whose activation has a larger L2 norm were excluded from training; null: none were."
    )
    sae: SaeRecipe | None = Field(
        description="How the SAE was run; null for a vector and for neurons, which are read without an SAE."
    )


def model_recipe(loaded: LoadedModel, prepend_bos: bool) -> ModelRecipe:
    return ModelRecipe(
        model=loaded.accepted_names[0],
        weights=loaded.model.origin,
        dtype=loaded.settings.model_dtype,
        weight_processing="none",
        prepend_bos=prepend_bos,
    )


def source_recipe(
    loaded: LoadedModel, source: SourceInfo, prepend_bos: bool | None = None, has_bos: bool | None = None
) -> Recipe:
    """The recipe of a source; for values of a request, with its BOS.

    Args:
        loaded: the model.
        source: the source.
        prepend_bos: whether BOS is prepended; None: as the source was trained.
        has_bos: whether position 0 is BOS (`bos_at_start`); None: as the source was trained.
    """
    from memicos_engine.capture.positions import ignored_positions, recipe_has_bos
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
        **model_recipe(loaded, recipe.prepend_bos if prepend_bos is None else prepend_bos).model_dump(),
        hook_name=recipe.hook_name,
        context_size=recipe.context_size,
        ignored_positions=ignored_positions(
            recipe, recipe_has_bos(recipe, loaded.model.bos_token_id) if has_bos is None else has_bos
        ),
        norm_cut=recipe.norm_cut,
        sae=None if source.architecture == NEURON_ARCHITECTURE else sae,
    )


def vector_recipe(loaded: LoadedModel, hook_name: str, prepend_bos: bool) -> Recipe:
    """The recipe of activations at a hook point, which a request may name by its module."""
    model = model_recipe(loaded, prepend_bos)
    return Recipe(
        **model.model_dump(),
        hook_name=canonical_hook_name(hook_name),
        context_size=None,
        ignored_positions=[],
        norm_cut=None,
        sae=None,
    )
