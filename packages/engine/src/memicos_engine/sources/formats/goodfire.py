"""The format of Goodfire's SAEs: the state dict of two linear layers, in a file named `<model>-SAE-l<layer>.pth`.

latents = relu(encoder_linear(x)), of the residual stream after the layer. The layers may be called encoder and decoder,
as in other SAEs that are published in this form.
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
    saelens_config,
    transpose,
)
from memicos_engine.sources.recipe import RecipeOverrides

_NAME = re.compile(r"(.+)-SAE-l([0-9]+)\.pth?")


def _weights(folder: Path, _overrides: RecipeOverrides) -> Path | None:
    files = [file for file in sorted(folder.iterdir()) if _NAME.fullmatch(file.name)]
    if len(files) > 1:
        raise SourceError(f"{folder} has {len(files)} files of weights; put each source into a folder of its own")
    return files[0] if files else None


def _config(folder: Path, overrides: RecipeOverrides, _stored: StoredTensors) -> SaeConfig:
    weights = _weights(folder, overrides)
    match = _NAME.fullmatch(weights.name) if weights else None
    assert match is not None
    metadata = {"model_name": match.group(1), "hook_name": f"blocks.{match.group(2)}.hook_resid_post"}
    return saelens_config("standard", metadata)


def _tensors(stored: StoredTensors, _config: SaeConfig) -> dict[str, Any]:
    return {
        "W_enc": transpose(first_stored(stored, "encoder_linear.weight", "encoder.weight")),
        "b_enc": first_stored(stored, "encoder_linear.bias", "encoder.bias"),
        "W_dec": transpose(first_stored(stored, "decoder_linear.weight", "decoder.weight")),
        "b_dec": first_stored(stored, "decoder_linear.bias", "decoder.bias"),
    }


FORMAT = Format(
    # trained on chats, which begin with BOS; the context is not published
    "goodfire",
    "<model>-SAE-l<layer>.pth or .pt",
    _weights,
    _config,
    _tensors,
    {"prepend_bos": True, "context_size": 1024},
)
