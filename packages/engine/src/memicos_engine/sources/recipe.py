"""Recipe of a source: hook, context and tokenization that give the activations that it was trained on."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memicos_engine.errors import RecipeError
from memicos_engine.model.hook_names import canonical_hook_name

FILE_NAME = "memicos.json"


@dataclass(frozen=True)
class SourceRecipe:
    """How to run text so that its activations are those that a source was trained on.

    Feature values are not defined at `ignored_positions` and at tokens whose norm at the hook exceeds `norm_cut`.
    `hook_name_out` is the hook that a transcoder reconstructs; None for a source that reconstructs its own input.
    `normalize_activations` is SAELens' name of the normalisation before encoding; with expected_average_only_in,
    activations are multiplied by `norm_scaling_factor`.
    """

    hook_name: str
    prepend_bos: bool
    context_size: int
    ignored_positions: tuple[int, ...] = ()
    norm_cut: float | None = None
    hook_name_out: str | None = None
    normalize_activations: str = "none"
    norm_scaling_factor: float | None = None


@dataclass(frozen=True)
class RecipeOverrides:
    """Fields of the `memicos.json` in a source's folder; None where a field is absent or null.

    They override the source's own files. `set` is the part of the source's id after the layer, `norm_scaling_factor`
    the factor of activations for an SAE trained on normalised ones, `weights` the mapping of `formats/tensors.py`.
    """

    set: str | None = None
    hook_name: str | None = None
    hook_name_out: str | None = None
    prepend_bos: bool | None = None
    context_size: int | None = None
    ignored_positions: tuple[int, ...] | None = None
    norm_cut: float | None = None
    norm_scaling_factor: float | None = None
    weights: Mapping[str, Any] | None = None


MAX_COUNT = 2**31 - 1
"""Largest context size and position."""


def is_positive_number(value: Any) -> bool:
    """Whether the value is a number above 0 that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


_TEXT = (lambda value: isinstance(value, str) and bool(value), "a text")
_NUMBER = (is_positive_number, "a number above 0")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "set": (
        lambda value: isinstance(value, str) and re.fullmatch(r"[\w.-]+", value) is not None,
        "a name of letters, digits, '-', '_' and '.'",
    ),
    "hook_name": _TEXT,
    "hook_name_out": _TEXT,
    "prepend_bos": (lambda value: isinstance(value, bool), "true or false"),
    "context_size": (lambda value: _is_count(value) and value > 0, f"a whole number from 1 to {MAX_COUNT}"),
    "ignored_positions": (
        lambda value: isinstance(value, list) and all(_is_count(position) for position in value),
        "a list of positions",
    ),
    "norm_cut": _NUMBER,
    "norm_scaling_factor": _NUMBER,
    "weights": (lambda value: isinstance(value, dict), "an object"),
}


def read_overrides(folder: Path) -> RecipeOverrides:
    """Read the `memicos.json` of a source's folder. The file and all of its fields are optional.

    Raises:
        RecipeError: the file is not JSON, or has an unknown field or an invalid value.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return RecipeOverrides()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: expected a JSON object ({error})") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected a JSON object")
    fields: dict[str, Any] = {}
    for name, value in content.items():
        if name not in _FIELDS:
            raise RecipeError(f'{path}: expected no "{name}"; there are {", ".join(_FIELDS)}')
        is_valid, expected = _FIELDS[name]
        if value is not None and not is_valid(value):
            raise RecipeError(f'{path}: expected {expected} as "{name}", not {_shown(value)}')
        fields[name] = tuple(value) if name == "ignored_positions" and value is not None else value
    return RecipeOverrides(**fields)


REQUIRED_FIELDS: dict[str, Any] = {"hook_name": "blocks.5.hook_resid_post", "prepend_bos": True, "context_size": 128}
"""Fields that every recipe needs, with example values for the error message."""


def resolve_recipe(
    overrides: RecipeOverrides, metadata: Mapping[str, Any], defaults: Mapping[str, Any], location: str
) -> SourceRecipe:
    """The recipe of the source at `location`: each field from `overrides`, else `metadata`, else `defaults`.

    `metadata` is that of the source's own configuration, `defaults` those of its format.

    Raises:
        RecipeError: none of them gives the hook, prepend_bos or the context size, a value of `metadata` that is needed
            is invalid, or the hook has two meanings.
    """
    fields: dict[str, Any] = {}
    for name in REQUIRED_FIELDS:
        values = (getattr(overrides, name), metadata.get(name), defaults.get(name))
        fields[name] = next((value for value in values if value is not None), None)
    if fields["hook_name"] is None:
        fields["hook_name"] = metadata.get("hf_hook_name")
    missing = {name: REQUIRED_FIELDS[name] for name, value in fields.items() if value is None}
    if missing:
        raise RecipeError(
            f"{location}: missing {' and '.join(missing)}. Write a {FILE_NAME} beside the weights, for example "
            f"{json.dumps(missing)}"
        )
    for name, value in fields.items():
        _check_metadata(name, value, location)
    hook_name = overrides.hook_name or _own_hook(fields["hook_name"], metadata.get("hf_hook_name"), location)
    hook_name_out = overrides.hook_name_out or metadata.get("hook_name_out") or metadata.get("hf_hook_name_out")
    if hook_name_out:
        _check_metadata("hook_name_out", hook_name_out, location)
    prepend_bos = fields["prepend_bos"]
    ignored = overrides.ignored_positions
    return SourceRecipe(
        hook_name=canonical_hook_name(hook_name),
        prepend_bos=prepend_bos,
        context_size=int(fields["context_size"]),
        # feature values at BOS do not depend on the text, whether it was trained on or not
        ignored_positions=ignored if ignored is not None else (0,) if prepend_bos else (),
        norm_cut=overrides.norm_cut,
        hook_name_out=canonical_hook_name(hook_name_out) if hook_name_out else None,
    )


def _check_metadata(name: str, value: Any, location: str) -> None:
    """Raises RecipeError where a source's own configuration has an invalid value."""
    is_valid, expected = _FIELDS[name]
    # some libraries write whole numbers with a decimal point
    if not is_valid(int(value) if isinstance(value, float) and value.is_integer() else value):
        example = json.dumps({name: REQUIRED_FIELDS.get(name, "blocks.5.hook_mlp_out")})
        raise RecipeError(
            f"{location}: expected {expected} as {name}, not {_shown(value)}. Write the right one into a {FILE_NAME} "
            f"beside the weights, for example {example}"
        )


def _shown(value: Any) -> str:
    """The beginning of an invalid value, for a message; a value that JSON cannot write is shown as Python does."""
    try:
        return json.dumps(value)[:80]
    except (ValueError, TypeError):
        return repr(value)[:80]


def _own_hook(hook_name: object, module_name: object, location: str) -> str:
    """The hook of a source's own configuration, which may name it twice: by TransformerLens and by module.

    `hook_mlp_in` is the residual stream before the MLP's norm in TransformerLens. SAELens writes it for the
    transcoders of Gemma Scope 2, which read the output of that norm, as their module's name says.

    Raises:
        RecipeError: the hook is `hook_mlp_in`, and no module is named.
    """
    name = str(hook_name)
    if not name.endswith(".hook_mlp_in"):
        return name
    if isinstance(module_name, str) and module_name:
        return module_name
    block = name.removesuffix(".hook_mlp_in")
    raise RecipeError(
        f"{location}: hook_mlp_in has two meanings, and hf_hook_name does not say which. Write a {FILE_NAME} beside "
        f'the weights: {{"hook_name": "{block}.mlp.hook_in"}} for the input of the MLP, after its norm, or '
        f'{{"hook_name": "{block}.hook_resid_mid"}} for the residual stream before that norm'
    )
