"""Vectors without an SAE: values and directions by numpy, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.errors import RecipeError, SourceError
from memicos_engine.selftest.reconstruction_record import ReconstructionRecord
from memicos_engine.selftest.source_checks import check_metrics
from memicos_engine.sources.feature_encoding import encode_features
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_engine.sources.source_selection import select_sources
from memicos_engine.sources.source_specs import SourceSelection
from memicos_testing.models.vectors import random_vectors, write_vectors
from safetensors.numpy import save_file

HOOK, K, WIDTH = "blocks.5.hook_resid_mid", 6, 32


@pytest.mark.parametrize(("with_bias", "dtype"), [(True, np.float32), (False, np.float32), (False, np.float64)])
def test_values_are_products_and_negative_ones_are_zero(tmp_path: Path, with_bias: bool, dtype: Any) -> None:
    vectors, bias = random_vectors(K, WIDTH)
    folder = write_vectors(tmp_path / "5-probes", HOOK, vectors.astype(dtype), bias if with_bias else None)
    selection = SourceSelection(sets=(f"path:{folder}",), models=())
    (candidate,) = select_sources(selection, lambda text, share: None).candidates
    assert candidate.error is None and candidate.id == "5-probes"
    source = load_source(folder, "5-probes")
    info = read_local_info(folder, "5-probes")
    assert all(getattr(source, name) == value for name, value in vars(info).items())
    assert (info.architecture, info.hook_name, info.layer) == ("vectors", HOOK, 5)
    assert (info.d_in, info.d_sae, info.d_out) == (WIDTH, K, WIDTH)
    hidden = np.random.default_rng(1).normal(size=(50, WIDTH)).astype(np.float32)
    before = hidden.astype(np.float64) @ vectors.T.astype(np.float64) + (bias if with_bias else 0)
    assert 0.2 < (before < 0).mean() < 0.8
    np.testing.assert_allclose(source.encode(torch.tensor(hidden)), np.maximum(before, 0), rtol=1e-4, atol=1e-4)
    chosen = encode_features(source, torch.tensor(hidden), [4, 1])
    np.testing.assert_allclose(chosen, np.maximum(before, 0)[:, [4, 1]], rtol=1e-4, atol=1e-4)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(source.decoder_rows(), directions, rtol=1e-4, atol=1e-6)


def test_no_reconstruction_is_expected_of_vectors(tmp_path: Path) -> None:
    folder = write_vectors(tmp_path / "5-probes", HOOK, *random_vectors(K, WIDTH))
    record = object.__new__(ReconstructionRecord)
    assert check_metrics(read_local_info(folder, "5-probes"), record) == []


def changed(problem: str, folder: Path) -> None:
    vectors, bias = random_vectors(K, WIDTH)
    if problem == "zeros":
        vectors[3] = 0
    if problem == "not finite":
        vectors[3, 2] = np.nan
    stored = {"vectors": vectors[0] if problem == "one axis" else vectors, "bias": bias}
    if problem == "bias":
        stored["bias"] = bias[:2]
    if problem == "other name":
        stored = {"probes": vectors}
    save_file(stored, folder / "vectors.safetensors")
    if problem == "two files":
        np.save(folder / "vectors.npy", vectors)
    if problem == "pickle":
        (folder / "vectors.safetensors").unlink()
        np.save(folder / "vectors.npy", np.array([{}], dtype=object))


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        ("zeros", "vector 3 is all zeros, which is no direction"),
        ("not finite", "numbers that are not finite"),
        ("one axis", r"its vectors have the shape \(32,\); expected \(vectors, width\)"),
        ("bias", r"its bias has the shape \(2,\); expected \(6,\)"),
        ("other name", "it has probes; vectors and bias are known"),
        ("two files", "has both vectors.safetensors and vectors.npy"),
        ("pickle", "vectors.npy is a pickle|allow_pickle"),
    ],
)
def test_what_is_no_set_of_vectors_is_refused(tmp_path: Path, problem: str, reason: str) -> None:
    folder = write_vectors(tmp_path / "5-probes", HOOK, *random_vectors(K, WIDTH))
    changed(problem, folder)
    with pytest.raises(SourceError, match=reason):
        load_source(folder, "5-probes")


def test_the_hook_has_to_be_given(tmp_path: Path) -> None:
    folder = write_vectors(tmp_path / "5-probes", HOOK, *random_vectors(K, WIDTH))
    (folder / "memicos.json").unlink()
    with pytest.raises(RecipeError, match="missing hook_name and prepend_bos and context_size"):
        read_local_info(folder, "5-probes")
