"""The format of circuit-tracer (github.com/decoderesearch/circuit-tracer): a transcoder for each layer.

layer_<N>.safetensors has W_enc (d_sae, d_in), W_dec (d_sae, d_out), b_enc, b_dec and, of some, a threshold and W_skip
(d_out, d_in). config.yaml in the same folder names the hooks of every layer. Each file is a source.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from memicos_engine.errors import RecipeError, SourceError
from memicos_engine.sources.formats.base import (
    Format,
    SaeConfig,
    StoredTensors,
    first_stored,
    saelens_config,
    transpose,
)
from memicos_engine.sources.formats.files import read_yaml
from memicos_engine.sources.recipe import FILE_NAME, RecipeOverrides

CONFIG = "config.yaml"
_FILE = re.compile(r"layer_([0-9]+)\.safetensors")
_THRESHOLDS = ("activation_function.threshold", "threshold")
_NAMES = {"W_enc", "W_dec", "b_enc", "b_dec", "W_skip", *_THRESHOLDS}


def _list_weights(folder: Path) -> list[Path]:
    layers = {int(match.group(1)): file for file in folder.iterdir() if (match := _FILE.fullmatch(file.name))}
    return [layers[layer] for layer in sorted(layers)]


def _adapt_overrides(file: Path, overrides: RecipeOverrides) -> RecipeOverrides:
    """With the layer of the file in place of `{layer}` in the names of hooks."""
    match = _FILE.fullmatch(file.name)
    hooks = {name: hook for name in ("hook_name", "hook_name_out") if (hook := getattr(overrides, name))}
    for name, hook in hooks.items():
        if match is None or "{layer}" not in hook:
            raise RecipeError(
                f'{file.parent / FILE_NAME}: expected "{name}" with {{layer}}, such as '
                '"blocks.{layer}.hook_mlp_out", as it applies to the files of all layers'
            )
        hooks[name] = hook.replace("{layer}", match.group(1))
    return replace(overrides, **hooks)


def _config(file: Path, _overrides: RecipeOverrides, stored: StoredTensors) -> SaeConfig:
    config = read_yaml(file.parent / CONFIG)
    match = _FILE.fullmatch(file.name)
    assert match is not None
    metadata: dict[str, Any] = {"model_name": config.get("model_name")}
    for name, key in (("hook_name", "feature_input_hook"), ("hook_name_out", "feature_output_hook")):
        if not isinstance(config.get(key), str):
            raise SourceError(f"{file.parent / CONFIG} has no {key}")
        metadata[name] = f"blocks.{match.group(1)}.{config[key]}"
    if unknown := sorted(set(stored) - _NAMES):
        raise SourceError(f"its weights have {', '.join(unknown)}; there are {', '.join(sorted(_NAMES))}")
    kind = "skip_transcoder" if "W_skip" in stored else "transcoder"
    return saelens_config(f"jumprelu_{kind}" if any(name in stored for name in _THRESHOLDS) else kind, metadata)


def _tensors(stored: StoredTensors, config: SaeConfig) -> dict[str, Any]:
    tensors = {name: first_stored(stored, name) for name in ("W_dec", "b_enc", "b_dec")}
    tensors["W_enc"] = transpose(first_stored(stored, "W_enc"))
    if "jumprelu" in config["architecture"]:
        # stored with an axis of length 1 by some versions
        tensors["threshold"] = first_stored(stored, *_THRESHOLDS).reshape(-1).expand(len(tensors["b_enc"])).contiguous()
    return tensors | ({"W_skip": stored["W_skip"]} if "W_skip" in stored else {})


FORMAT = Format(
    # its prompts begin with BOS; configurations have no context
    "circuit-tracer",
    f"layer_<N>.safetensors and {CONFIG}",
    lambda _folder, _overrides: None,
    _config,
    _tensors,
    {"prepend_bos": True, "context_size": 1024},
    adapt_overrides=_adapt_overrides,
    list_weights=_list_weights,
)
