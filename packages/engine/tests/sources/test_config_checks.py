"""Configurations of SAEs that cannot be served with right values are refused, and `k` is read as it is meant."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.errors import SourceError
from memicos_engine.sources.config_checks import has_unit_directions
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_testing.models.foreign_saes import (
    LAYOUTS,
    random_weights,
    write_dictionary_learning,
    write_openai,
    write_sparsify,
)
from sae_lens.registry import SAE_CLASS_REGISTRY
from safetensors.numpy import save_file

D_IN, D_SAE = 8, 16


def write_top_k(folder: Path, architecture: str = "topk", **settings: Any) -> Path:
    folder.mkdir(parents=True)
    tensors = random_weights(1, D_IN, D_SAE).tensors
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    save_file({name: tensors[name] for name in names}, folder / "sae_weights.safetensors")
    metadata = {"hook_name": "blocks.1.hook_resid_post", "prepend_bos": True, "sae_lens_version": "6.54.0"}
    config = {"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu", "k": 4}
    config |= {"apply_b_dec_to_input": False, "metadata": metadata, **settings}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def set_k(folder: Path, layout: str, k: object) -> None:
    """Change `k` where the library of `layout` stores it."""
    if layout == "openai":
        (file,) = folder.glob("*.pt")
        state = torch.load(file, weights_only=True)
        state["activation_state_dict"]["k"] = k
        torch.save(state, file)
        return
    file = folder / ("config.json" if layout == "dictionary-learning" else "cfg.json")
    config = json.loads(file.read_text())
    (config["trainer"] if layout == "dictionary-learning" else config)["k"] = k
    file.write_text(json.dumps(config))


def top_k_folder(folder: Path, layout: str) -> Path:
    weights = random_weights(1, D_IN, D_SAE)
    if layout == "dictionary-learning":
        return write_dictionary_learning(folder, weights, "AutoEncoderTopK")
    if layout == "openai":
        return write_openai(folder, weights)
    return write_sparsify(folder, weights) if layout == "sparsify" else write_top_k(folder)


def refusal(folder: Path) -> str:
    """The reason, which is the same before weights are read and after."""
    reasons = []
    for read in (read_local_info, load_source):
        with pytest.raises(SourceError) as caught:
            read(folder, "1-small")
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    return reasons[0]


@pytest.mark.parametrize("layout", ["saelens", "dictionary-learning", "openai", "sparsify"])
@pytest.mark.parametrize("k", [D_SAE + 1, 0, -3, 2.5, True, "8", None])
def test_a_k_that_is_not_possible_is_refused(tmp_path: Path, layout: str, k: object) -> None:
    folder = top_k_folder(tmp_path / "1-small", layout)
    set_k(folder, layout, k)
    assert f"its k is {k!r}" in refusal(folder)


@pytest.mark.parametrize("layout", ["saelens", "dictionary-learning", "openai", "sparsify"])
@pytest.mark.parametrize("k", [8.0, 8, D_SAE])
def test_a_whole_k_is_read_as_an_integer(tmp_path: Path, layout: str, k: float) -> None:
    folder = top_k_folder(tmp_path / "1-small", layout)
    set_k(folder, layout, k)
    source = load_source(folder, "1-small")
    assert source.k == read_local_info(folder, "1-small").k == int(k) and type(source.k) is int
    hidden = torch.randn(50, D_IN, generator=torch.Generator().manual_seed(0)).double() * 3
    tensors = {name: torch.from_numpy(value).double() for name, value in random_weights(1, D_IN, D_SAE).tensors.items()}
    inputs = hidden
    if layout == "openai":
        inputs = (hidden - hidden.mean(-1, keepdim=True)) / (hidden.std(-1, keepdim=True) + 1e-5)
    if layout != "saelens":
        inputs = inputs - tensors["b_dec"]
    before = inputs @ tensors["W_enc"] + tensors["b_enc"]
    top_values = before.topk(int(k), dim=-1)
    expected = torch.zeros_like(before).scatter(-1, top_values.indices, top_values.values.relu())
    torch.testing.assert_close(source.encode(hidden).double(), expected, atol=1e-5, rtol=1e-5)


def test_features_that_fire_with_negative_values_are_refused(tmp_path: Path) -> None:
    assert "abstopk is not served: its features fire with negative" in refusal(
        write_top_k(tmp_path / "1-small", "abstopk")
    )
    folder = write_sparsify(tmp_path / "signed", random_weights(1, D_IN, D_SAE))
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {"signed": True}))
    assert "its signed is set: its features fire with negative" in refusal(folder)
    (folder / "cfg.json").write_text(json.dumps(config | {"signed": False}))
    assert read_local_info(folder, "1-small").k == 8


def test_features_that_depend_on_other_positions_are_refused(tmp_path: Path) -> None:
    assert "temporal is not served: its features depend on the other positions" in refusal(
        write_top_k(tmp_path / "1-small", "temporal")
    )


def test_an_activation_function_that_saelens_no_longer_runs_is_refused(tmp_path: Path) -> None:
    folder = write_top_k(tmp_path / "1-small", "standard", activation_fn_str="tanh-relu")
    assert "activation function is tanh-relu" in refusal(folder)


@pytest.mark.parametrize("architecture", ["topk", "matching_pursuit", "standard"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_unit_directions_are_those_of_the_loaded_weights(tmp_path: Path, architecture: str, rescaled: bool) -> None:
    folder = write_top_k(tmp_path / "1-small", architecture, rescale_acts_by_decoder_norm=rescaled)
    if architecture == "matching_pursuit":
        tensors = random_weights(1, D_IN, D_SAE).tensors
        save_file({name: tensors[name] for name in ("W_dec", "b_dec")}, folder / "sae_weights.safetensors")
    source = load_source(folder, "1-small")
    lengths = source.decoder_rows().norm(dim=-1).numpy()
    assert source.unit_directions == bool(np.abs(lengths - 1).max() < 1e-5)
    assert read_local_info(folder, "1-small").unit_directions == source.unit_directions


def test_every_architecture_of_saelens_has_a_decision() -> None:
    """A new architecture has to be looked at: whether features fire negatively, and whether directions are scaled."""
    served = {"standard", "topk", "jumprelu", "gated", "matching_pursuit"}
    served |= {"transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"}
    assert set(SAE_CLASS_REGISTRY) == served | {"abstopk", "temporal"}
    assert [name for name in sorted(served) if not has_unit_directions(name, False)] == ["matching_pursuit", "topk"]


def test_every_layout_still_loads(tmp_path: Path) -> None:
    for name, layout in LAYOUTS.items():
        assert load_source(layout.write(tmp_path / name, random_weights(1, D_IN, D_SAE)), "1-small").d_sae == D_SAE
