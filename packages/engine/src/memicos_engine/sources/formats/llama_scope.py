"""The format of Llama Scope and its library lm-saes (github.com/OpenMOSS/Language-Model-SAEs).

Llama Scope has hyperparams.json and checkpoints/final.safetensors, later versions of the library config.json and
sae_weights.safetensors. encode(x) = act(x * factor @ encoder.weight.T + encoder.bias), with factor = sqrt(d_model) /
(average norm of the dataset's activations) for norm_activation "dataset-wise"; the output is scaled alike by its own
norm. A feature fires by its value, times the length of its direction with sparsity_include_decoder_norm.

jump_relu_threshold of hyperparams.json is in units of the activations before they are scaled, as that library compares
it after folding the factor; log_jumprelu_threshold is in units of the scaled ones. SAELens reads both so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from memicos_engine.errors import SourceError
from memicos_engine.sources.config_checks import CROSS_LAYER, CROSSCODER
from memicos_engine.sources.formats.base import (
    Format,
    SaeConfig,
    StoredTensors,
    first_stored,
    saelens_config,
    transpose,
)
from memicos_engine.sources.formats.files import read_json, read_scalars
from memicos_engine.sources.recipe import RecipeOverrides

_LAYOUTS = (("hyperparams.json", "checkpoints/final.safetensors"), ("config.json", "sae_weights.safetensors"))
"""Configuration and weights, relative to the folder."""
_LOG_THRESHOLDS = ("log_jumprelu_threshold", "activation_function.log_jumprelu_threshold")
_NORM = "dataset_average_activation_norm"
_REFUSED_KINDS = {"crosscoder": CROSSCODER, "clt": CROSS_LAYER}
_SCALINGS = {"dataset-wise": "expected_average_only_in", "token-wise": "constant_norm_rescale", "inference": "none"}
"""SAELens' normalisation by norm_activation."""


def _files(folder: Path) -> tuple[Path, Path] | None:
    for config, weights in _LAYOUTS:
        # a cfg.json is SAELens'
        if all((folder / name).is_file() for name in (config, weights)) and not (folder / "cfg.json").exists():
            return folder / config, folder / weights
    return None


def _weights(folder: Path, _overrides: RecipeOverrides) -> Path | None:
    files = _files(folder)
    return files[1] if files else None


def _config(folder: Path, overrides: RecipeOverrides, stored: StoredTensors) -> SaeConfig:
    files = _files(folder)
    assert files is not None
    config = read_json(files[0])
    kind = config.get("sae_type", "sae")
    if kind != "sae":
        raise SourceError(f"its sae_type is {kind}: {_REFUSED_KINDS.get(kind, 'SAELens has no such architecture')}")
    if config.get("use_glu_encoder"):
        raise SourceError("its use_glu_encoder is set; SAELens has no such architecture")
    hook, hook_out = config.get("hook_point_in"), config.get("hook_point_out")
    transcoder = hook_out is not None and hook_out != hook
    normalization = config.get("norm_activation", "token-wise")
    if normalization not in _SCALINGS or (normalization == "token-wise" and transcoder):
        raise SourceError(f"its norm_activation is {normalization}; there are {', '.join(_SCALINGS)}")
    fields: dict[str, Any] = {
        "apply_b_dec_to_input": bool(config.get("apply_decoder_bias_to_pre_encoder"))
        and config.get("use_decoder_bias", True),
        "normalize_activations": _SCALINGS[normalization],
        "by_length": bool(config.get("sparsity_include_decoder_norm")),
    }
    if normalization == "dataset-wise":
        fields |= _factors(config, stored, files[1], overrides.norm_scaling_factor)
    architecture = _architecture(config, stored, transcoder, fields)
    metadata = {"hook_name": hook, "hook_name_out": hook_out if transcoder else None}
    return saelens_config(architecture, metadata, **fields)


def _architecture(config: Mapping[str, Any], stored: StoredTensors, transcoder: bool, fields: dict[str, Any]) -> str:
    """SAELens' architecture; its settings are added to `fields`."""
    activation = str(config.get("act_fn", "relu")).lower()
    if activation == "jumprelu":
        if not any(name in stored for name in _LOG_THRESHOLDS):
            fields["scalar_threshold"] = float(config["jump_relu_threshold"])
        return "jumprelu_transcoder" if transcoder else "jumprelu"
    if activation == "relu":
        return "transcoder" if transcoder else "standard"
    if activation == "topk" and not transcoder:
        fields |= {"k": config.get("top_k"), "rescale_acts_by_decoder_norm": fields["by_length"]}
        return "topk"
    raise SourceError(f"its act_fn is {activation}; relu, jumprelu and, for SAEs, topk are supported")


def _factors(
    config: Mapping[str, Any], stored: StoredTensors, weights: Path, own_factor: float | None
) -> dict[str, float]:
    """The factor of the input, and its ratio to that of the output. Empty where no norm is recorded."""
    norms: Mapping[str, Any] = config.get(_NORM) or {}
    names = [name for name in stored if name.startswith(f"{_NORM}.")]
    if not norms and names:
        norms = {name.removeprefix(f"{_NORM}."): norm for name, norm in read_scalars(weights, names).items()}
    root = math.sqrt(float(config["d_model"]))
    factors = {}
    for side in ("in", "out"):
        norm = norms.get(side, norms.get(str(config.get(f"hook_point_{side}"))))
        if norm is None:
            continue
        if not 0 < float(norm) < math.inf:
            raise SourceError(f"its {_NORM} is {norm}; expected a number above 0")
        factors[side] = root / float(norm)
    factor = own_factor or factors.get("in")
    if factor is None:
        return {}
    return {"norm_scaling_factor": factor, "output_ratio": factor / factors.get("out", factor)}


def _tensors(stored: StoredTensors, config: SaeConfig) -> dict[str, Any]:
    if "W_E" in stored:
        tensors = {"W_enc": stored["W_E"], "W_dec": first_stored(stored, "W_D")}
    else:
        tensors = {
            "W_enc": transpose(first_stored(stored, "encoder.weight")),
            "W_dec": transpose(first_stored(stored, "decoder.weight")),
        }
    tensors["b_enc"] = first_stored(stored, "encoder.bias", "b_E")
    bias = stored.get("decoder.bias", stored.get("b_D"))
    tensors["b_dec"] = torch.zeros_like(tensors["W_dec"][0]) if bias is None else bias
    lengths = tensors["W_dec"].float().norm(dim=-1) if config["by_length"] else 1.0
    if "jumprelu" in config["architecture"]:
        threshold = config.get("scalar_threshold")
        if threshold is None:
            thresholds = first_stored(stored, *_LOG_THRESHOLDS).float().exp()
        else:
            thresholds = torch.full_like(tensors["b_enc"], threshold * config.get("norm_scaling_factor", 1.0)).float()
        tensors["threshold"] = thresholds / lengths
    ratio = config.get("output_ratio", 1.0)
    return tensors | ({name: tensors[name] * ratio for name in ("W_dec", "b_dec")} if ratio != 1 else {})


FORMAT = Format(
    "llama-scope",
    " or ".join(f"{config} and {weights}" for config, weights in _LAYOUTS),
    _weights,
    _config,
    _tensors,
    {"prepend_bos": True, "context_size": 1024},
)
