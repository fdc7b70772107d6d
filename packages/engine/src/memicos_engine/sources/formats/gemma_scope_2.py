"""The format of Gemma Scope 2: params.safetensors with w_enc, w_dec, b_enc, b_dec and threshold, and config.json.

Transcoders may have affine_skip_connection (d_in, d_out), the transpose of SAELens' W_skip. A folder is named as in the
repositories, `transcoder/layer_7_width_16k_l0_medium_affine`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from memicos_engine.errors import SourceError
from memicos_engine.sources.formats.base import (
    Format,
    SaeConfig,
    StoredTensors,
    first_stored,
    has_file,
    saelens_config,
    transpose,
)
from memicos_engine.sources.formats.files import read_json
from memicos_engine.sources.recipe import RecipeOverrides

WEIGHTS = "params.safetensors"
SKIP = "affine_skip_connection"
_FOLDER = re.compile(r"layer_([0-9]+)_(.+)")
_MODULES = {
    "resid_post": ("output", "output"),
    "attn_out": ("self_attn.o_proj.input", "self_attn.o_proj.input"),
    "mlp_out": ("post_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
    "transcoder": ("pre_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
}
"""Modules that are read and written by the name of the folder above, for sources without config.json."""
_HOOKS = {
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "post_feedforward_layernorm.output": "hook_mlp_out",
}
"""TransformerLens' names of modules of Gemma 3, which can be steered as well."""


def _config(folder: Path, overrides: RecipeOverrides, stored: StoredTensors) -> SaeConfig:
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else _config_of_path(folder)
    architecture = config.get("architecture", "jump_relu")
    if architecture != "jump_relu":
        raise SourceError(f"its architecture is {architecture}; those of Gemma Scope 2 are jump_relu")
    hook, hook_out = (_hook(config.get(f"hf_hook_point_{side}")) for side in ("in", "out"))
    metadata: dict[str, Any] = {"model_name": config.get("model_name"), "hook_name": hook, "l0": config.get("l0")}
    if config.get("affine_connection") and SKIP not in stored:
        raise SourceError(f"its affine_connection is set, but its weights have no {SKIP}")
    if not (overrides.hook_name_out or config.get("type") == "transcoder" or SKIP in stored or hook != hook_out):
        return saelens_config("jumprelu", metadata)
    architecture = "jumprelu_skip_transcoder" if SKIP in stored else "jumprelu_transcoder"
    return saelens_config(architecture, metadata | {"hook_name_out": hook_out})


def _config_of_path(folder: Path) -> dict[str, Any]:
    match = _FOLDER.fullmatch(folder.name)
    modules = _MODULES.get(folder.parent.name.removesuffix("_all"))
    if match is None or modules is None:
        return {}
    return {
        f"hf_hook_point_{side}": f"model.layers.{match.group(1)}.{module}"
        for side, module in zip(("in", "out"), modules, strict=True)
    }


def _hook(module: str | None) -> str | None:
    match = re.fullmatch(r"model\.layers\.([0-9]+)\.(.+)", module or "")
    return f"blocks.{match.group(1)}.{_HOOKS[match.group(2)]}" if match and match.group(2) in _HOOKS else module


def _tensors(stored: StoredTensors, config: SaeConfig) -> dict[str, Any]:
    names = {"W_enc": "w_enc", "W_dec": "w_dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}
    tensors = {name: first_stored(stored, other) for name, other in names.items()}
    return tensors | ({"W_skip": transpose(stored[SKIP])} if "skip" in config["architecture"] else {})


def _set_suffix(folder: Path) -> str | None:
    """`width_16k_l0_medium`: a folder of the repositories has several sources of a layer."""
    match = _FOLDER.fullmatch(folder.name)
    return match.group(2) if match else None


FORMAT = Format(
    "gemma-scope-2",
    WEIGHTS,
    has_file(WEIGHTS),
    _config,
    _tensors,
    {"prepend_bos": True, "context_size": 1024},
    set_suffix=_set_suffix,
)
