"""What a format is: from files of weights to SAELens' configuration and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sae_lens

from memicos_engine.errors import SourceError
from memicos_engine.sources.recipe import RecipeOverrides

StoredTensors = Mapping[str, Any]
"""What a file of weights holds, by the names in it."""
SaeConfig = dict[str, Any]
"""SAELens' configuration of a source; its `metadata` has what the files say of the recipe."""


@dataclass(frozen=True)
class Format:
    """A layout of files that a source comes in.

    weights   the file of weights in a folder, None where the folder is not in this format
    config    SAELens' configuration; widths may be left out, they are those of the tensors
    tensors   the stored tensors by SAELens' names: W_enc (d_in, d_sae), W_dec (d_sae, d_out), b_enc, b_dec, ...;
              also called with tensors on the meta device
    assumed   what of the recipe holds for every source in this format, where nothing else says it
    """

    name: str
    files: str
    find_weights: Callable[[Path, RecipeOverrides], Path | None]
    read_config: Callable[[Path, RecipeOverrides, StoredTensors], SaeConfig]
    convert_tensors: Callable[[StoredTensors, SaeConfig], dict[str, Any]]
    recipe_defaults: Mapping[str, Any] = field(default_factory=dict)


def saelens_config(architecture: str, metadata: Mapping[str, Any], **fields: Any) -> SaeConfig:
    """SAELens' configuration as of its version 6, activations taken as they are unless `fields` say otherwise."""
    plain = {"apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none"}
    version = {"sae_lens_version": sae_lens.__version__}
    return {**plain, **fields, "architecture": architecture, "metadata": {**metadata, **version}}


def has_file(name: str) -> Callable[[Path, RecipeOverrides], Path | None]:
    """`weights` of a format whose file always has the same name."""
    return lambda folder, _extras: folder / name if (folder / name).is_file() else None


def first_stored(stored: StoredTensors, *names: str) -> Any:
    """The stored value of the first of `names` that there is.

    Raises:
        SourceError: there is none of them.
    """
    for name in names:
        if name in stored:
            return stored[name]
    raise SourceError(f"the weights have no {' or '.join(names)}, only {', '.join(sorted(stored)[:12]) or 'nothing'}")


def transpose(tensor: Any) -> Any:
    return tensor.T.contiguous()


def expand_threshold(stored: Any, width: int) -> Any:
    """One threshold a feature, from that or from one for all."""
    return stored.expand(width).contiguous() if stored.ndim == 0 or stored.shape == (1,) else stored
