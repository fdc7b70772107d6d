"""Vectors of one's own, such as probes and steering vectors, without an SAE: a direction for each feature.

`vectors.safetensors` has `vectors` (k, d) and, if wanted, `bias` (k,); `vectors.npy` has (k, d) alone. The value of
feature i is max(0, x · vectors[i] + bias[i]), so that a direction and its opposite are two features; the vectors'
lengths are part of the values. The direction that is written to the model is vectors[i] at length 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

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
from memicos_engine.sources.source import VECTOR_ARCHITECTURE

_FILES = ("vectors.safetensors", "vectors.npy")


def _weights(folder: Path, _overrides: RecipeOverrides) -> Path | None:
    found = [folder / name for name in _FILES if (folder / name).is_file()]
    if len(found) > 1:
        raise SourceError(f"{folder} has both {' and '.join(_FILES)}; put each into a folder of its own")
    return found[0] if found else None


def _config(_folder: Path, _overrides: RecipeOverrides, _stored: StoredTensors) -> SaeConfig:
    return saelens_config("standard", {"memicos_architecture": VECTOR_ARCHITECTURE})


def _tensors(stored: StoredTensors, _config: SaeConfig) -> dict[str, Any]:
    if unknown := sorted(set(stored) - {"vectors", "bias"}):
        raise SourceError(f"it has {unknown[0]}; vectors and bias are known")
    vectors = first_stored(stored, "vectors")
    if vectors.ndim != 2 or not len(vectors):
        raise SourceError(f"its vectors have the shape {tuple(vectors.shape)}; expected (vectors, width)")
    if vectors.is_complex():
        raise SourceError("its vectors are complex numbers")
    bias = stored.get("bias", torch.zeros(len(vectors), device=vectors.device))
    if bias.shape != vectors.shape[:1]:
        raise SourceError(f"its bias has the shape {tuple(bias.shape)}; expected {(len(vectors),)}")
    vectors = vectors.float()
    lengths = vectors.norm(dim=1, keepdim=True)
    if not vectors.is_meta and (zeros := (lengths == 0).flatten().nonzero().flatten().tolist()):
        raise SourceError(f"vector {zeros[0]} is all zeros, which is no direction")
    return {
        "W_enc": transpose(vectors),
        "b_enc": bias.float(),
        # of length 1, so that SAELens folds no length into the values
        "W_dec": vectors / lengths,
        "b_dec": torch.zeros(vectors.shape[1], device=vectors.device),
    }


FORMAT = Format("vectors", " or ".join(_FILES), _weights, _config, _tensors)
