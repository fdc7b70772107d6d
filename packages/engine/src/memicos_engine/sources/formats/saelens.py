"""The format of SAELens, any version, and its training checkpoints: cfg.json and sae_weights.safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sae_lens.loading.pretrained_sae_loaders import get_sae_lens_config_from_disk, handle_config_defaulting

from memicos_engine.errors import SourceError
from memicos_engine.sources.config_checks import check_activation_function
from memicos_engine.sources.formats.base import Format, SaeConfig, StoredTensors, expand_threshold
from memicos_engine.sources.recipe import RecipeOverrides

WEIGHTS = "sae_weights.safetensors"
_CHECKPOINTS = {"batchtopk", "matryoshka_batchtopk"}
"""Architectures of training checkpoints. For inference they are JumpReLU SAEs with the learnt threshold."""


def _weights(folder: Path, _overrides: RecipeOverrides) -> Path | None:
    # also where the weights are missing: that error is clearer than "unknown format"
    return folder / WEIGHTS if (folder / "cfg.json").is_file() and not (folder / "sae.safetensors").exists() else None


def _config(folder: Path, _overrides: RecipeOverrides, _stored: StoredTensors) -> SaeConfig:
    config = get_sae_lens_config_from_disk(folder)
    check_activation_function(config)
    architecture = config.get("architecture")
    if architecture in _CHECKPOINTS:
        rescaled = config.get("rescale_acts_by_decoder_norm", True)
        config = {**config, "architecture": "jumprelu", "rescaled": rescaled}
    return handle_config_defaulting(config)


def _tensors(stored: StoredTensors, config: SaeConfig) -> dict[str, Any]:
    tensors = dict(stored)
    for name in ("scaling_factor", "finetuning_scaling_factor"):
        factor = tensors.pop(name, None)
        if factor is not None and not factor.is_meta and not (factor == 1).all():
            raise SourceError(f"its {name} is not folded into the weights, which SAELens no longer reads")
    threshold = tensors.pop("topk_threshold", None)
    if threshold is None:
        return tensors
    if config.get("rescaled"):
        lengths = tensors["W_dec"].norm(dim=-1)
        tensors["W_enc"] = tensors["W_enc"] * lengths
        tensors["b_enc"] = tensors["b_enc"] * lengths
        tensors["W_dec"] = tensors["W_dec"] / lengths[:, None]
    return tensors | {"threshold": expand_threshold(threshold, len(tensors["b_enc"]))}


FORMAT = Format(
    "saelens",
    f"cfg.json and {WEIGHTS}",
    _weights,
    _config,
    _tensors,
    # SAELens' defaults, which older versions do not write
    {"prepend_bos": True, "context_size": 128},
)
