"""Comparison of one feature with a server, reported line by line."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from memicos_client.models import Recipe

from memicos_pipeline.recompute import compare, hidden_states, sae
from memicos_pipeline.recompute.errors import RecomputeError
from memicos_pipeline.recompute.server_values import FeatureAddress, ServerFeature, ServerText

DEMO_MODELS, DEMO_SOURCES = Path(".data/models"), Path("demo/sources")
"""Where the demo keeps weights, relative to the working folder."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

ReportLine = Callable[[str], None]


@dataclass(frozen=True)
class WeightLocations:
    """Folders, hub ids or `hf:` paths of weights. `sae` is None for neurons."""

    model: str
    sae: str | None


def recompute(
    address: FeatureAddress,
    server_feature: ServerFeature,
    model: str | None,
    sae_location: str | None,
    tolerance: float | None,
    report: ReportLine,
) -> bool:
    """Compare the values that a webapp shows with values computed here; return whether they agree.

    Weights are read from `model` and `sae_location`, or from the recipe's location. `report` receives one line of the
    comparison at a time; `tolerance` is the largest relative difference that counts as agreement.

    Raises:
        RecomputeError: nothing can be compared.
    """
    recipe = server_feature.recipe
    if recipe.dtype not in compare.TOLERANCES or recipe.weight_processing != "none":
        raise RecomputeError(f"weights in {recipe.dtype}, processing {recipe.weight_processing}: not covered")
    weights = WeightLocations(_model_location(recipe, model), _sae_location(recipe, address, sae_location))
    encoder = sae.read(sae.find(weights.sae), recipe.sae) if weights.sae and recipe.sae else None
    report(str(address))
    for line in _recipe_lines(recipe, weights):
        report(line)
    loaded = hidden_states.load_model(weights.model, recipe.dtype)
    if server_feature.prompt is not None:
        ids = hidden_states.token_ids(weights.model, server_feature.prompt, recipe.prepend_bos)
        if server_feature.texts[0].token_ids != ids:
            report(
                f"does not agree: the server read the tokens {server_feature.texts[0].token_ids}, the model's "
                f"tokenizer makes {ids}"
            )
            return False
    limit = compare.tolerance_of(recipe) if tolerance is None else tolerance
    return _compare_texts(server_feature, address.index, loaded, encoder, limit, report)


def _compare_texts(
    server_feature: ServerFeature, index: int, model: Any, encoder: sae.Sae | None, tolerance: float, report: ReportLine
) -> bool:
    hidden_by_text: dict[tuple[int, ...], np.ndarray] = {}
    worst, undecided, differing = 0.0, 0, []
    report(f"{'':<12}{'shown max':>12}{'recomputed':>12}{'difference':>12}  worst of all tokens")
    for text in server_feature.texts:
        ids = tuple(text.token_ids)
        if ids not in hidden_by_text:
            hidden_by_text[ids] = hidden_states.activations(model, server_feature.recipe.hook_name, ids)
        hidden = hidden_by_text[ids]
        if len(text.values) != len(hidden):
            raise RecomputeError(f"{text.name} has {len(text.values)} values for {len(hidden)} tokens")
        values = _neuron(hidden, index) if encoder is None else sae.encode(encoder, hidden, index)
        counts, norm_margin = compare.counted(server_feature.recipe, hidden)
        wrong_positions: list[int] = []
        if server_feature.prompt is not None:
            wrong_positions = compare.counted_differently(text.ignored, counts, norm_margin, tolerance)
            # an own prompt has values at every position, including those that do not count
            counts, norm_margin = np.ones_like(counts), np.full_like(norm_margin, np.inf)
        result = compare.difference(text.values, values, counts, norm_margin, tolerance)
        line = _maximum_columns(text, np.where(counts, values.values, 0.0)) + f"  {result.worst:.1e}"
        if not result.worst <= tolerance:
            line += (
                f" at token {result.position} {text.tokens[result.position]!r}: shown {result.server_value:.5g}, "
                f"recomputed {result.recomputed:.5g}"
            )
        report(line)
        if wrong_positions:
            report(f"the server and the recipe differ in whether these positions count: {wrong_positions}")
        if wrong_positions or not result.worst <= tolerance:
            differing.append(text.name)
        worst, undecided = max(worst, result.worst), undecided + result.undecided
    if undecided:
        report(f"so close to a threshold that rounding decides whether they are 0: {undecided} of all values")
    if differing:
        report(
            f"does not agree: {', '.join(differing)}, by more than {tolerance:g}; worst relative difference {worst:.1e}"
        )
    else:
        report(f"agrees within {tolerance:g}: worst relative difference {worst:.1e}")
    return not differing


def _maximum_columns(text: ServerText, recomputed: np.ndarray) -> str:
    """The text's name, its maximum over the positions that count, as on pages, and the recomputed value there."""
    counted = [position for position in range(len(text.values)) if position not in text.ignored]
    if not counted:
        return f"{text.name:<12}{'none counts':>12}{'':>12}{'':>12}"
    position = max(counted, key=text.values.__getitem__)
    server_value, recomputed_value = text.values[position], recomputed[position]
    return f"{text.name:<12}{server_value:>12.5g}{recomputed_value:>12.5g}{recomputed_value - server_value:>12.2g}"


def _neuron(hidden: np.ndarray, index: int) -> sae.Values:
    if index >= hidden.shape[1]:
        raise RecomputeError(f"there are neurons 0 to {hidden.shape[1] - 1}; the feature is {index}")
    values = hidden[:, index]
    return sae.Values(values, values, np.full_like(values, np.inf), np.linalg.norm(hidden, axis=1))


def _model_location(recipe: Recipe, location: str | None) -> str:
    """Raises RecomputeError if neither an option nor the recipe locates the model's weights."""
    if location is not None:
        if _HUB_ID.fullmatch(location) or Path(location).is_dir():
            return location
        raise RecomputeError(f"there is no folder {location} of a model (--model)")
    if _HUB_ID.fullmatch(recipe.weights):
        return recipe.weights
    folder = DEMO_MODELS / recipe.model
    if folder.is_dir():
        return str(folder)
    raise RecomputeError(
        f"the recipe describes the model's weights as {recipe.weights!r}, which is neither a folder nor a hub id, and "
        f"{folder} does not exist; name their folder with --model"
    )


def _sae_location(recipe: Recipe, address: FeatureAddress, location: str | None) -> str | None:
    """Raises RecomputeError if neither an option nor the recipe locates the SAE's weights."""
    if recipe.sae is None or location is not None:
        return location
    if recipe.sae.weights.startswith("hf:"):
        return recipe.sae.weights
    folder = DEMO_SOURCES / address.source
    if folder.is_dir():
        return str(folder)
    raise RecomputeError(
        f"the SAE's weights are the folder {recipe.sae.weights!r}, and {folder} does not exist; name it with --sae"
    )


def _recipe_lines(recipe: Recipe, weights: WeightLocations) -> Iterator[str]:
    yield f"model       {weights.model} ({recipe.weights}), {recipe.dtype}"
    if recipe.sae:
        sae_recipe = recipe.sae
        scaled = (
            f", activations {sae_recipe.normalize_activations}" if sae_recipe.normalize_activations != "none" else ""
        )
        directions = "directions of length 1" if sae_recipe.unit_directions else "directions as they are stored"
        yield f"SAE         {weights.sae}: {sae_recipe.architecture}, {sae_recipe.dtype}{scaled}, {directions}"
    ignored = [f"position {position}" for position in recipe.ignored_positions]
    ignored += [f"norms above {recipe.norm_cut:g}"] if recipe.norm_cut is not None else []
    bos = "BOS in front" if recipe.prepend_bos else "no BOS"
    yield f"read at     {recipe.hook_name}, {bos}, left out: {', '.join(ignored) or 'nothing'}"
