"""Vectors of one's own, as docs/own-sae.md describes their folder."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def random_vectors(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (count, width) of several lengths, and biases (count,)."""
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(count, width)) * rng.uniform(0.1, 3, size=(count, 1))
    return vectors.astype(np.float32), rng.normal(size=count).astype(np.float32)


def write_vectors(folder: Path, hook_name: str, vectors: np.ndarray, bias: np.ndarray | None = None) -> Path:
    """Write them as safetensors, or without a bias as .npy."""
    folder.mkdir(parents=True)
    if bias is None:
        np.save(folder / "vectors.npy", vectors)
    else:
        save_file({"vectors": vectors, "bias": bias}, folder / "vectors.safetensors")
    recipe = {"hook_name": hook_name, "prepend_bos": True, "context_size": 64}
    (folder / "memicos.json").write_text(json.dumps(recipe))
    return folder
