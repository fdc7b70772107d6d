"""The interface of a file format: find the weights, read SAELens' configuration, convert the tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sae_lens

from memicos_engine.errors import SourceError
from memicos_engine.sources.recipe import RecipeOverrides

StoredTensors = Mapping[str, Any]
"""Content of a file of weights, by the names in it."""
SaeConfig = dict[str, Any]
"""SAELens' configuration of a source; its `metadata` has the recipe fields of the files."""


@dataclass(frozen=True)
class Format:
    """A file format of sources.

    files            the names of its files, for messages
    find_weights     the file of weights in a folder; None where the folder is not in this format
    read_config      SAELens' configuration; widths may be omitted, and are then those of the tensors
    convert_tensors  the stored tensors by SAELens' names: W_enc (d_in, d_sae), W_dec (d_sae, d_out), b_enc, b_dec, ...;
                     also called with tensors on the meta device
    recipe_defaults  recipe fields of every source in this format, where its files do not give them
    set_suffix       what a source's folder adds to the name of its set, where a layer can have several sources
    adapt_overrides  memicos.json for one of several files of weights
    list_weights     the files of weights in a folder, of a format with a source in each file; `read_config` gets the
                     file in place of the folder
    """

    name: str
    files: str
    find_weights: Callable[[Path, RecipeOverrides], Path | None]
    read_config: Callable[[Path, RecipeOverrides, StoredTensors], SaeConfig]
    convert_tensors: Callable[[StoredTensors, SaeConfig], dict[str, Any]]
    recipe_defaults: Mapping[str, Any] = field(default_factory=dict)
    set_suffix: Callable[[Path], str | None] = lambda _folder: None
    adapt_overrides: Callable[[Path, RecipeOverrides], RecipeOverrides] = lambda _weights, overrides: overrides
    list_weights: Callable[[Path], list[Path]] = lambda _folder: []


def saelens_config(architecture: str, metadata: Mapping[str, Any], **fields: Any) -> SaeConfig:
    """SAELens' configuration as of its version 6, without normalisation of activations unless `fields` sets it."""
    defaults = {"apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none"}
    version = {"sae_lens_version": sae_lens.__version__}
    return {**defaults, **fields, "architecture": architecture, "metadata": {**metadata, **version}}


def has_file(name: str) -> Callable[[Path, RecipeOverrides], Path | None]:
    """`find_weights` of a format whose file of weights has a fixed name."""
    return lambda folder, _overrides: folder / name if (folder / name).is_file() else None


def first_stored(stored: StoredTensors, *names: str) -> Any:
    """The stored value of the first of `names` that exists.

    Raises:
        SourceError: none of them exists.
    """
    for name in names:
        if name in stored:
            return stored[name]
    raise SourceError(f"the weights have no {' or '.join(names)}, only {', '.join(sorted(stored)[:12]) or 'nothing'}")


def transpose(tensor: Any) -> Any:
    return tensor.T.contiguous()


def expand_threshold(stored: Any, width: int) -> Any:
    """Thresholds (width,) from a stored threshold for each feature or a single one for all."""
    return stored.expand(width).contiguous() if stored.ndim == 0 or stored.shape == (1,) else stored
