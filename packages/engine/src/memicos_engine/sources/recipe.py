"""How text becomes the activations that a source was trained on."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memicos_engine.errors import RecipeError

FILE_NAME = "memicos.json"


@dataclass(frozen=True)
class Recipe:
    """`ignored_positions` and tokens whose norm at the hook exceeds `norm_cut` mean nothing to the source.

    `hook_name_out` is where a transcoder's output belongs; None for a source that reconstructs its own input.
    `normalize_activations` is what is done to activations before they are encoded, by SAELens' names; with
    expected_average_only_in they are multiplied by `norm_scaling_factor`.
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
    """What `memicos.json` beside a source's weights says; None where it says nothing.

    It stands over what the source's own files say. `set` is the part of the source's id after the layer,
    `norm_scaling_factor` what activations are multiplied by where the SAE was trained on normalised ones, `weights`
    the mapping of `formats/tensors.py`.
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_TEXT = (lambda value: isinstance(value, str) and bool(value), "a text")
_NUMBER = (_is_number, "a number above 0")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "set": (
        lambda value: isinstance(value, str) and re.fullmatch(r"[\w.-]+", value) is not None,
        "a name of letters, digits, '-', '_' and '.'",
    ),
    "hook_name": _TEXT,
    "hook_name_out": _TEXT,
    "prepend_bos": (lambda value: isinstance(value, bool), "true or false"),
    "context_size": (lambda value: _is_count(value) and value > 0, "a whole number above 0"),
    "ignored_positions": (
        lambda value: isinstance(value, list) and all(_is_count(one) for one in value),
        "a list of positions",
    ),
    "norm_cut": _NUMBER,
    "norm_scaling_factor": _NUMBER,
    "weights": (lambda value: isinstance(value, dict), "an object"),
}


def read_overrides(folder: Path) -> RecipeOverrides:
    """What `memicos.json` in a source's folder says, all of it optional; null is the same as nothing.

    Raises:
        RecipeError: the file is there and is not what it should be.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return RecipeOverrides()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path}: expected a JSON object ({error})") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected a JSON object")
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name not in _FIELDS:
            raise RecipeError(f'{path}: expected no "{name}"; there are {", ".join(_FIELDS)}')
        good, words = _FIELDS[name]
        if value is not None and not good(value):
            raise RecipeError(f'{path}: expected {words} as "{name}", not {json.dumps(value)[:80]}')
        found[name] = tuple(value) if name == "ignored_positions" and value is not None else value
    return RecipeOverrides(**found)


REQUIRED_FIELDS: dict[str, Any] = {"hook_name": "blocks.5.hook_resid_post", "prepend_bos": True, "context_size": 128}
"""What a recipe needs, with the line to write where nothing says it."""


def resolve_recipe(extras: RecipeOverrides, said: Mapping[str, Any], assumed: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of the source at `where`: from its memicos.json, else from its own files, else from its format.

    Raises:
        RecipeError: none of them says the hook, whether BOS is in front, or the size of a context.
    """
    known: dict[str, Any] = {}
    for name in REQUIRED_FIELDS:
        values = (getattr(extras, name), said.get(name), assumed.get(name))
        known[name] = next((value for value in values if value is not None), None)
    missing = {name: REQUIRED_FIELDS[name] for name, value in known.items() if value is None}
    if missing:
        raise RecipeError(
            f"{where}: nothing says {' and '.join(missing)}. Write a {FILE_NAME} beside the weights, for example "
            f"{json.dumps(missing)}"
        )
    prepend_bos = bool(known["prepend_bos"])
    ignored = extras.ignored_positions
    return Recipe(
        hook_name=str(known["hook_name"]),
        prepend_bos=prepend_bos,
        context_size=int(known["context_size"]),
        # a BOS in front says nothing about the text, trained on or not
        ignored_positions=ignored if ignored is not None else (0,) if prepend_bos else (),
        norm_cut=extras.norm_cut,
        hook_name_out=extras.hook_name_out or said.get("hook_name_out"),
    )
