"""The format of dictionary_learning (github.com/saprmarks/dictionary_learning): ae.pt, a state dict, and config.json.

SAELens' own converter reads from the hub only, and assumes that every SAE is of the residual stream.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from memicos_engine.errors import SourceError
from memicos_engine.sources.config_checks import CROSSCODER
from memicos_engine.sources.formats.base import (
    Format,
    SaeConfig,
    StoredTensors,
    expand_threshold,
    first_stored,
    has_file,
    saelens_config,
    transpose,
)
from memicos_engine.sources.formats.files import read_json
from memicos_engine.sources.recipe import RecipeOverrides

_CLASSES: dict[str, tuple[str, bool]] = {
    "AutoEncoder": ("standard", True),
    "AutoEncoderNew": ("standard", False),
    "GatedAutoEncoder": ("gated", True),
    "JumpReluAutoEncoder": ("jumprelu", False),
    "AutoEncoderTopK": ("topk", True),
    "BatchTopKSAE": ("jumprelu", True),
    "MatryoshkaBatchTopKSAE": ("jumprelu", True),
}
"""Architecture, and whether b_dec is subtracted from the input. Batch top-k SAEs have a learnt threshold."""

_HOOKS = {"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out", "attn_out": "hook_attn_out"}


def _config(folder: Path, _overrides: RecipeOverrides, _stored: StoredTensors) -> SaeConfig:
    content = read_json(folder / "config.json")
    trainer, buffer = content.get("trainer"), content.get("buffer") or {}
    if not isinstance(trainer, dict) or not isinstance(buffer, dict):
        raise SourceError(f"{folder / 'config.json'} has no trainer")
    if "CrossCoder" in str(trainer.get("dict_class")):
        raise SourceError(f"its dict_class is {trainer['dict_class']}: {CROSSCODER}")
    dict_class = _CLASSES.get(trainer.get("dict_class", ""))
    if dict_class is None:
        raise SourceError(f"its dict_class is {trainer.get('dict_class')}; there are {', '.join(_CLASSES)}")
    architecture, centred = dict_class
    fields = {"k": trainer.get("k")} if architecture == "topk" else {}
    metadata = {
        "model_name": trainer.get("lm_name"),
        "hook_name": _hook(trainer, buffer),
        "context_size": buffer.get("ctx_len"),
    }
    return saelens_config(architecture, metadata, apply_b_dec_to_input=centred, **fields)


def _hook(trainer: dict[str, Any], buffer: dict[str, Any]) -> str | None:
    """The hook of `submodule_name`, such as `resid_post_layer_8`; None where the name is unknown."""
    name, layer = str(trainer.get("submodule_name")), trainer.get("layer")
    hook = next((hook for part, hook in _HOOKS.items() if re.match(rf"{part}(_|$)", name)), None)
    return f"blocks.{layer}.{hook}" if hook and isinstance(layer, int) and buffer.get("io", "out") == "out" else None


def _tensors(stored: StoredTensors, config: SaeConfig) -> dict[str, Any]:
    tensors = {
        "W_enc": stored["W_enc"] if "W_enc" in stored else transpose(first_stored(stored, "encoder.weight")),
        "W_dec": stored["W_dec"] if "W_dec" in stored else transpose(first_stored(stored, "decoder.weight")),
        "b_dec": first_stored(stored, "b_dec", "bias", "decoder_bias", "decoder.bias"),
    }
    if config["architecture"] == "gated":
        names = {"b_mag": "mag_bias", "b_gate": "gate_bias", "r_mag": "r_mag"}
        return tensors | {name: first_stored(stored, other) for name, other in names.items()}
    tensors["b_enc"] = first_stored(stored, "b_enc", "encoder.bias")
    if config["architecture"] == "jumprelu":
        tensors["threshold"] = expand_threshold(first_stored(stored, "threshold"), len(tensors["b_enc"]))
    return tensors


FORMAT = Format(
    # its activation buffer tokenizes with special tokens, BOS included
    "dictionary-learning",
    "ae.pt and config.json",
    has_file("ae.pt"),
    _config,
    _tensors,
    {"prepend_bos": True},
)
