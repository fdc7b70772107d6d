"""Plain safetensors with any names, mapped to SAELens' names by `weights` in memicos.json:

    {"hook_name": "blocks.5.hook_resid_post", "prepend_bos": true, "context_size": 128,
     "weights": {"file": "model.safetensors", "architecture": "topk", "k": 32, "apply_b_dec_to_input": true,
                 "tensors": {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight",
                             "b_dec": "bias"},
                 "transposed": ["W_enc", "W_dec"]}}

file                  in the same folder
architecture          one of ARCHITECTURES
tensors               SAELens' names (below) to the names in the file
transposed            those that are stored transposed; W_enc is (d_in, d_sae), W_dec (d_sae, d_out)
k                     of top-k
apply_b_dec_to_input  whether b_dec is subtracted from the input; default false
normalize_activations none (default), layer_norm, constant_norm_rescale or expected_average_only_in

An omitted bias is zero. A threshold may be one number for all features.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from memicos_engine.errors import RecipeError
from memicos_engine.sources.formats.base import (
    Format,
    SaeConfig,
    StoredTensors,
    expand_threshold,
    first_stored,
    saelens_config,
    transpose,
)
from memicos_engine.sources.recipe import FILE_NAME, RecipeOverrides

ARCHITECTURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "standard": ("standard", ("b_enc",)),
    "topk": ("topk", ("b_enc",)),
    "jumprelu": ("jumprelu", ("b_enc", "threshold")),
    "batchtopk": ("jumprelu", ("b_enc", "threshold")),
    "matryoshka": ("jumprelu", ("b_enc", "threshold")),
    "gated": ("gated", ("b_gate", "b_mag", "r_mag")),
    "transcoder": ("transcoder", ("b_enc",)),
    "skip_transcoder": ("skip_transcoder", ("b_enc", "W_skip")),
    "jumprelu_transcoder": ("jumprelu_transcoder", ("b_enc", "threshold")),
    "jumprelu_skip_transcoder": ("jumprelu_skip_transcoder", ("b_enc", "threshold", "W_skip")),
}
"""SAELens' architecture, and its tensors besides W_enc, W_dec and b_dec. W_skip is (d_out, d_in)."""

_FIELDS = ("file", "architecture", "tensors", "transposed", "k", "apply_b_dec_to_input", "normalize_activations")
_BIASES = ("b_enc", "b_dec")


def _weights(folder: Path, overrides: RecipeOverrides) -> Path | None:
    if overrides.weights is None:
        return None
    name = overrides.weights.get("file")
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise RecipeError(f'{folder / FILE_NAME}: expected the name of a .safetensors as "file" of "weights"')
    return folder / name


def _config(folder: Path, overrides: RecipeOverrides, _stored: StoredTensors) -> SaeConfig:
    assert overrides.weights is not None
    settings = overrides.weights
    problem = _problem(settings)
    if problem:
        raise RecipeError(f'{folder / FILE_NAME}: expected {problem} in "weights"')
    fields = {
        name: settings[name] for name in ("k", "apply_b_dec_to_input", "normalize_activations") if name in settings
    }
    architecture = ARCHITECTURES[settings["architecture"]][0]
    mapping = {"mapping": settings["tensors"], "transposed": settings.get("transposed", [])}
    needed = ("W_enc", "W_dec", "b_dec", *ARCHITECTURES[settings["architecture"]][1])
    return saelens_config(architecture, {}, **fields, **mapping, needed=needed)


def _problem(settings: Mapping[str, Any]) -> str | None:
    unknown = [name for name in settings if name not in _FIELDS]
    if unknown:
        return f'no "{unknown[0]}" ({", ".join(_FIELDS)} are known)'
    if settings.get("architecture") not in ARCHITECTURES:
        return f'one of {", ".join(ARCHITECTURES)} as "architecture"'
    tensors, transposed = settings.get("tensors"), settings.get("transposed", [])
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors.values()):
        return 'SAELens\' names with those in the file as "tensors"'
    needed = ("W_enc", "W_dec", "b_dec", *ARCHITECTURES[settings["architecture"]][1])
    if missing := [name for name in needed if name not in tensors and name not in _BIASES]:
        return f'{missing[0]} among the "tensors"'
    if unexpected := [name for name in tensors if name not in needed]:
        return f'no {unexpected[0]} among the "tensors" of {settings["architecture"]}'
    if not isinstance(transposed, list) or not set(transposed) <= set(tensors):
        return 'a list of some of the "tensors" as "transposed"'
    k = settings.get("k")
    if settings["architecture"] == "topk" and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
        return 'a whole number above 0 as "k"'
    if not isinstance(settings.get("apply_b_dec_to_input", False), bool):
        return 'true or false as "apply_b_dec_to_input"'
    return None


def _tensors(stored: StoredTensors, config: SaeConfig) -> dict[str, Any]:
    mapping, transposed = config["mapping"], config["transposed"]
    tensors = {name: first_stored(stored, other) for name, other in mapping.items()}
    tensors = {name: transpose(tensor) if name in transposed else tensor for name, tensor in tensors.items()}
    device, widths = tensors["W_enc"].device, {"b_enc": tensors["W_enc"].shape[-1], "b_dec": tensors["W_dec"].shape[-1]}
    for name, width in widths.items():
        if name in config["needed"] and name not in tensors:
            tensors[name] = torch.zeros(width, device=device)
    if "threshold" in tensors:
        tensors["threshold"] = expand_threshold(tensors["threshold"], widths["b_enc"])
    return tensors


FORMAT = Format("tensors", f'safetensors and "weights" in {FILE_NAME}', _weights, _config, _tensors)
