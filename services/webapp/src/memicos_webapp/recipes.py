"""Recipes: how the activations on pages and in responses were computed, of a dataset or of a live run."""

import json
from collections.abc import Mapping
from shlex import join
from typing import Any, Protocol

from memicos_dataset import manifest
from memicos_inference_client.models import Recipe as LiveRecipe
from pydantic import BaseModel, Field

from memicos_webapp.formatting import url_segment
from memicos_webapp.inference.prompts import Prompt


class SaeRecipe(BaseModel):
    """How an SAE computes its values from activations at the hook."""

    weights: str = Field(description="a folder's name, or hf:<owner>/<name>/<path> for a place in the hub")
    architecture: str = Field(description="activation function of the SAE: standard (ReLU), jumprelu, topk and others")
    dtype: str = Field(description="number format that the SAE computes in, such as float32")
    normalize_activations: str = Field(
        description="normalisation of the activations before the encoder: none, layer_norm, constant_norm_rescale, or "
        "expected_average_only_in (multiplied by norm_scaling_factor, where there is one)"
    )
    norm_scaling_factor: float | None = Field(
        description="factor on the activations before the encoder, for expected_average_only_in; null: none"
    )
    unit_directions: bool = Field(
        description="values are multiplied by the length of the feature's decoder row, where that is not 1"
    )


class Recipe(BaseModel):
    """How values of features were computed from text."""

    model: str = Field(description="id of the model")
    weights: str = Field(description="origin of the model's weights: an id on the Hugging Face hub, or a description")
    dtype: str = Field(description="number format that the model computes in, such as float32 or bfloat16")
    weight_processing: str = Field(
        description="how the weights were changed on loading, such as none or folded LayerNorm weights"
    )
    prepend_bos: bool = Field(description="whether BOS is prepended, in a model that has one")
    hook_name: str = Field(description="hook point that the source reads, by its name in TransformerLens")
    context_size: int | None = Field(description="tokens of a window of the texts, or of training where a text is run")
    ignored_positions: list[int] = Field(
        description="token positions whose values have no meaning, 0 is the first; norm_cut may add others"
    )
    norm_cut: float | None = Field(
        description="tokens whose residual stream has a larger L2 norm do not count; null: all do"
    )
    sae: SaeRecipe | None = Field(description="null for neurons, which have no SAE")


class RecipeSource(Protocol):
    """The fields of a source that its recipe is made from."""

    @property
    def model_id(self) -> str: ...
    @property
    def model_origin(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def recipe(self) -> dict[str, Any]: ...
    @property
    def sae_config(self) -> dict[str, Any]: ...


def dataset_recipe(source: RecipeSource) -> Recipe:
    """The recipe of a source's examples, from its dataset."""
    recipe = manifest.Recipe.model_validate(source.recipe)
    sae = recipe.sae or manifest.SaeRecipe.of_config(source.name, source.architecture, source.sae_config)
    return Recipe(
        model=source.model_id,
        weights=source.model_origin,
        **recipe.model_dump(exclude={"sae"}),
        sae=SaeRecipe(**sae.model_dump()),
    )


def inference_recipe(recipe: LiveRecipe) -> Recipe:
    """The recipe in a response of inference."""
    return Recipe.model_validate(recipe.to_dict())


def describe(recipe: Recipe) -> str:
    """A recipe in one line: `BOS added, 128-token windows, position 0 and outlier tokens left out, float32`."""
    parts = ["BOS added" if recipe.prepend_bos else "no BOS added"]
    if recipe.context_size is not None:
        parts.append(f"{recipe.context_size}-token windows")
    left_out = []
    if positions := recipe.ignored_positions:
        left_out.append(f"position{'s' if len(positions) > 1 else ''} {', '.join(map(str, positions))}")
    if recipe.norm_cut is not None:
        left_out.append(f"outlier tokens (residual norm above {recipe.norm_cut:g})")
    if left_out:
        parts.append(" and ".join(left_out) + " left out")
    parts.append(recipe.dtype)
    sae = recipe.sae
    if sae and sae.dtype != recipe.dtype:
        parts.append(f"SAE in {sae.dtype}")
    if sae and sae.normalize_activations != "none":
        parts.append(f"activations normalised ({sae.normalize_activations.replace('_', ' ')})")
    return ", ".join(parts)


def describe_sources(recipes: Mapping[str, Recipe]) -> list[tuple[str, str]]:
    """(names, description) of the sources of each recipe; `recipes` is by name of the source."""
    names: dict[str, list[str]] = {}
    for name, recipe in recipes.items():
        names.setdefault(describe(recipe), []).append(name)
    return [(", ".join(sources), description) for description, sources in names.items()]


def recompute_command(base_url: str, model: str, source: str, index: int, prompt: Prompt | None = None) -> str:
    """The command, for a shell, that recomputes a feature's examples or its values on `prompt`."""
    address = f"{base_url.rstrip('/')}/{url_segment(model)}/{url_segment(source)}/{index}"
    command = ["memicos", "recompute", address]
    if prompt is not None and prompt.messages:
        command += ["--messages", json.dumps([turn.model_dump() for turn in prompt.messages], ensure_ascii=False)]
    elif prompt is not None:
        command += ["--text", prompt.text]
    return join(command)
