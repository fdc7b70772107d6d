"""The whole comparison of a feature, and how it is told."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from memicos_client.models import Recipe

from memicos_pipeline.recompute import compare, hidden_states, sae
from memicos_pipeline.recompute.errors import RecomputeError
from memicos_pipeline.recompute.server_values import Address, Feature

DEMO_MODELS, DEMO_SOURCES = Path(".data/models"), Path("demo/sources")
"""Where the demo has weights, in the working folder."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Weights:
    """Where weights are: folders, or places in the hub. `sae` is None for neurons."""

    model: str
    sae: str | None


def recompute(
    where: Address, found: Feature, model: str | None, sae_place: str | None, tolerance: float | None, say: Say
) -> bool:
    """Compare what a server shows with a computation of our own, on weights that are at `model` and `sae_place` or
    where the recipe says; tells it line by line. Gives back whether they agree.

    Raises:
        RecomputeError: nothing can be compared.
    """
    recipe = found.recipe
    if recipe.dtype not in compare.TOLERANCES or recipe.weight_processing != "none":
        raise RecomputeError(f"weights in {recipe.dtype}, processing {recipe.weight_processing}: not covered")
    weights = Weights(_model_place(recipe, model), _sae_place(recipe, where, sae_place))
    encoder = sae.read(sae.find(weights.sae), recipe.sae) if weights.sae and recipe.sae else None
    say(str(where))
    for line in _told(recipe, weights):
        say(line)
    within = compare.tolerance_of(recipe) if tolerance is None else tolerance
    loaded = hidden_states.load_model(weights.model, recipe.dtype)
    if found.text is not None:
        ids, own = found.texts[0].ids, hidden_states.token_ids(weights.model, found.text, recipe.prepend_bos)
        if ids != own:
            say(f"does not agree: the server read the tokens {ids}, the model's tokenizer makes {own}")
            return False
    return _compared(found, where.index, loaded, encoder, within, say)


def _compared(found: Feature, index: int, model: Any, encoder: sae.Sae | None, within: float, say: Say) -> bool:
    recipe = found.recipe
    seen: dict[tuple[int, ...], np.ndarray] = {}
    worst, either, wrong = 0.0, 0, []
    say(f"{'':<12}{'shown max':>12}{'recomputed':>12}{'difference':>12}  worst of all tokens")
    for one in found.texts:
        ids = tuple(one.ids)
        if ids not in seen:
            seen[ids] = hidden_states.activations(model, recipe.hook_name, ids)
        at_hook = seen[ids]
        if len(one.values) != len(at_hook):
            raise RecomputeError(f"{one.name} has {len(one.values)} values for {len(at_hook)} tokens")
        values = _neuron(at_hook, index) if encoder is None else sae.encode(encoder, at_hook, index)
        counts, edge = compare.counted(recipe, at_hook)
        if found.text is not None:  # a text that is run has values everywhere
            counts, edge = np.ones_like(counts), np.full_like(edge, np.inf)
        result = compare.difference(one.values, values, counts, edge, within)
        top = int(one.values.argmax())
        most, again = one.values[top], values.values[top] if counts[top] else 0.0
        line = f"{one.name:<12}{most:>12.5g}{again:>12.5g}{again - most:>12.2g}  {result.worst:.1e}"
        if not result.worst <= within:
            wrong.append(one.name)
            token = one.tokens[result.position]
            line += (
                f" at token {result.position} {token!r}: shown {result.shown:.5g}, recomputed {result.recomputed:.5g}"
            )
        say(line)
        worst, either = max(worst, result.worst), either + result.either
    if either:
        say(f"so near to a threshold that rounding decides whether they are 0: {either} of all values")
    if wrong:
        say(f"does not agree: {', '.join(wrong)}, by more than {within:g}; worst relative difference {worst:.1e}")
    else:
        say(f"agrees within {within:g}: worst relative difference {worst:.1e}")
    return not wrong


def _neuron(at_hook: np.ndarray, index: int) -> sae.Values:
    if index >= at_hook.shape[1]:
        raise RecomputeError(f"there are neurons 0 to {at_hook.shape[1] - 1}, and the feature is {index}")
    values = at_hook[:, index]
    return sae.Values(values, values, np.full_like(values, np.inf), np.linalg.norm(at_hook, axis=1))


def _model_place(recipe: Recipe, given: str | None) -> str:
    """Raises RecomputeError where nothing says where the model's weights are."""
    if given is not None:
        if _HUB_ID.fullmatch(given) or Path(given).is_dir():
            return given
        raise RecomputeError(f"there is no folder {given} of a model (--model)")
    if _HUB_ID.fullmatch(recipe.weights):
        return recipe.weights
    here = DEMO_MODELS / recipe.model
    if here.is_dir():
        return str(here)
    raise RecomputeError(
        f"the model's weights are {recipe.weights!r}, which is no place, and {here} is not there; name their folder "
        "with --model"
    )


def _sae_place(recipe: Recipe, where: Address, given: str | None) -> str | None:
    """Raises RecomputeError where nothing says where the SAE's weights are."""
    if recipe.sae is None or given is not None:
        return given
    if recipe.sae.weights.startswith("hf:"):
        return recipe.sae.weights
    here = DEMO_SOURCES / where.source
    if here.is_dir():
        return str(here)
    raise RecomputeError(
        f"the SAE's weights are the folder {recipe.sae.weights!r}, and {here} is not there; name it with --sae"
    )


def _told(recipe: Recipe, weights: Weights) -> Iterator[str]:
    yield f"model       {weights.model} ({recipe.weights}), {recipe.dtype}"
    if recipe.sae:
        own = recipe.sae
        scaled = f", activations {own.normalize_activations}" if own.normalize_activations != "none" else ""
        directions = "directions of length 1" if own.unit_directions else "directions as they are stored"
        yield f"SAE         {weights.sae}: {own.architecture}, {own.dtype}{scaled}, {directions}"
    left_out = [f"position {one}" for one in recipe.ignored_positions]
    left_out += [f"norms above {recipe.norm_cut:g}"] if recipe.norm_cut is not None else []
    bos = "BOS in front" if recipe.prepend_bos else "no BOS"
    yield f"read at     {recipe.hook_name}, {bos}, left out: {', '.join(left_out) or 'nothing'}"
