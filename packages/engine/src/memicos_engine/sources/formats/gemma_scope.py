"""The format of Gemma Scope: params.npz with W_enc, W_dec, b_enc, b_dec and threshold.

The files do not record the hook. SAELens derives it from the folder's path where that still has the repository's name
and sub-folders (`gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_72`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sae_lens.loading.pretrained_sae_loaders import (
    get_gemma_2_config_from_hf,
    get_gemma_2_transcoder_config_from_hf,
    handle_config_defaulting,
)

from memicos_engine.errors import SourceError
from memicos_engine.sources.formats.base import Format, SaeConfig, StoredTensors, first_stored, has_file, saelens_config
from memicos_engine.sources.recipe import RecipeOverrides

_L0 = re.compile(r"average_l0_([0-9]+)$")
_PUBLISHED = re.compile(r"(gemma-scope-[\w.-]+)(?:/snapshots/\w+)?/(.*layer_[0-9]+.*)")


def _config(folder: Path, overrides: RecipeOverrides, _stored: StoredTensors) -> SaeConfig:
    match = _PUBLISHED.search(folder.as_posix())
    if "embedding" in folder.as_posix() and overrides.hook_name is None:
        raise SourceError("SAEs of Gemma's embeddings can only be loaded from SAELens' directory, by their set")
    metadata: dict[str, Any] = {}
    if match:
        repo, path = match.groups()
        transcoder = "transcoder" in repo
        if transcoder:
            config = get_gemma_2_transcoder_config_from_hf(repo, path, "cpu")
        else:
            config = get_gemma_2_config_from_hf(repo, path, "cpu")
        metadata = handle_config_defaulting(config)["metadata"]
    if recorded := _L0.search(folder.name):
        metadata = {**metadata, "l0": int(recorded.group(1))}
    transcoder = bool(overrides.hook_name_out or metadata.get("hook_name_out"))
    return saelens_config("jumprelu_transcoder" if transcoder else "jumprelu", metadata)


def _tensors(stored: StoredTensors, _config: SaeConfig) -> dict[str, Any]:
    names = {"W_enc": "w_enc", "W_dec": "w_dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}
    return {name: first_stored(stored, name, other) for name, other in names.items()}


FORMAT = Format(
    "gemma-scope", "params.npz", has_file("params.npz"), _config, _tensors, {"prepend_bos": True, "context_size": 1024}
)
