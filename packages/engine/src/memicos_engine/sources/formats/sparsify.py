"""The format of sparsify (github.com/EleutherAI/sparsify): cfg.json and sae.safetensors, in a
folder named after a module.

encode(x) = topk(relu((x - b_dec) @ encoder.weight.T + encoder.bias)); W_dec is stored as (d_sae, d_in).
SAELens' own converter is not used: it transposes W_dec, does not adapt b_dec where the decoder is normalised, and maps
`layers.5.mlp` to the residual stream.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from memicos_engine.errors import SourceError
from memicos_engine.sources.config_checks import REFUSED_ARCHITECTURES
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

_MODULE = re.compile(r"(?:\w+\.)*?(?:layers|h|blocks)[._]([0-9]+)(?:\.(\w+))?")
_HOOKS = {
    None: "hook_resid_post",
    "mlp": "mlp.hook_out",
    "self_attn": "attn.hook_out",
    "attn": "attn.hook_out",
    "attention": "attn.hook_out",
}
"""Hook by part of a block: sparsify trains on the output of the named module."""


def _config(folder: Path, _overrides: RecipeOverrides, _stored: StoredTensors) -> SaeConfig:
    config = read_json(folder / "cfg.json")
    for name in ("transcode", "skip_connection", "embed_skip", "gram_lookup"):
        if config.get(name):
            raise SourceError(f"its {name} is set; SAELens has no top-k architecture with it")
    if config.get("signed"):
        raise SourceError(f"its signed is set: {REFUSED_ARCHITECTURES['abstopk']}")
    if config.get("activation", "topk") != "topk":
        raise SourceError(f"its activation is {config['activation']}; only topk is supported")
    run_config = folder.parent / "config.json"
    run = read_json(run_config) if run_config.is_file() else {}
    metadata = {"hook_name": _hook(folder.name), "model_name": run.get("model"), "context_size": run.get("ctx_len")}
    return saelens_config("topk", metadata, k=config.get("k"), apply_b_dec_to_input=True)


def _hook(module: str) -> str | None:
    if module == "embed_tokens":
        return "hook_embed"
    match = _MODULE.fullmatch(module)
    hook = _HOOKS.get(match.group(2)) if match else None
    return f"blocks.{match.group(1)}.{hook}" if match and hook else None


def _tensors(stored: StoredTensors, _config: SaeConfig) -> dict[str, Any]:
    encoder = first_stored(stored, "encoder.weight")
    width, d_in = encoder.shape
    return {
        "W_enc": transpose(encoder),
        "b_enc": stored.get("encoder.bias", torch.zeros(width, device=encoder.device)),
        "W_dec": first_stored(stored, "W_dec", "encoder.weight"),
        "b_dec": stored.get("b_dec", torch.zeros(d_in, device=encoder.device)),
    }


FORMAT = Format(
    # its texts begin with a separator or the tokenizer's BOS; 2048 is its default context
    "sparsify",
    "cfg.json and sae.safetensors",
    has_file("sae.safetensors"),
    _config,
    _tensors,
    {"prepend_bos": True, "context_size": 2048},
)
