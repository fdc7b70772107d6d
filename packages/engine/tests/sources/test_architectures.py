"""Every architecture on random weights, against numpy: values, a few columns, directions, reconstruction."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.errors import InvalidRequestError
from memicos_engine.sources.feature_encoding import encode_features
from memicos_engine.sources.source import SaeSource, neuron_source
from memicos_engine.sources.source_loading import load_source
from memicos_testing.models.foreign_saes import Weights, encode, random_weights, write_json, write_saelens
from safetensors.numpy import save_file

D_IN, D_OUT, D_SAE, K = 24, 40, 64, 8
CHOSEN = [3, 60, 0, 17]


def write(folder: Path, weights: Weights, architecture: str, names: tuple[str, ...], **config: Any) -> SaeSource:
    """Write the SAE in the format of plain tensors, which supports every architecture."""
    folder.mkdir()
    save_file({name: weights.tensors[name] for name in names}, folder / "w.safetensors")
    mapping = {"file": "w.safetensors", "architecture": architecture, "tensors": {name: name for name in names}}
    hooks = {"hook_name": "blocks.5.ln2.hook_normalized", "hook_name_out": "blocks.5.hook_mlp_out"}
    if "transcoder" not in architecture:
        hooks = {"hook_name": "blocks.5.hook_resid_post"}
    extras = hooks | {"prepend_bos": True, "context_size": 64, "weights": mapping | config}
    write_json(folder / "memicos.json", extras)
    return load_source(folder, "5-some")


PLAIN = ("W_enc", "b_enc", "W_dec", "b_dec")
CASES: dict[str, tuple[str, tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    "standard": ("standard", PLAIN, {}, {"kind": "relu"}),
    "standard, centred": (
        "standard",
        PLAIN,
        {"apply_b_dec_to_input": True},
        {"kind": "relu", "centred": True},
    ),
    "jumprelu": ("jumprelu", (*PLAIN, "threshold"), {}, {"kind": "jump"}),
    "gated": ("gated", ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"), {}, {"kind": "gated"}),
    "topk": ("topk", PLAIN, {"k": K}, {"kind": "topk"}),
    "topk, normalised": (
        "topk",
        PLAIN,
        {"k": K, "normalize_activations": "layer_norm", "apply_b_dec_to_input": True},
        {"kind": "topk", "normalized": True, "centred": True},
    ),
    # both are stored in training as the batch's threshold
    "batchtopk": ("batchtopk", (*PLAIN, "threshold"), {}, {"kind": "jump", "threshold": 0.9}),
    "matryoshka": ("matryoshka", (*PLAIN, "threshold"), {}, {"kind": "jump", "threshold": 0.9}),
    "transcoder": ("transcoder", PLAIN, {}, {"kind": "relu"}),
    "skip_transcoder": ("skip_transcoder", (*PLAIN, "W_skip"), {}, {"kind": "relu"}),
    "jumprelu_transcoder": ("jumprelu_transcoder", (*PLAIN, "threshold"), {}, {"kind": "jump"}),
    "jumprelu_skip_transcoder": ("jumprelu_skip_transcoder", (*PLAIN, "threshold", "W_skip"), {}, {"kind": "jump"}),
}


@pytest.mark.parametrize("name", CASES)
def test_values_columns_directions_and_reconstruction(name: str, tmp_path: Path) -> None:
    architecture, names, options, format_options = CASES[name]
    d_out = D_OUT if "transcoder" in architecture else D_IN
    weights = random_weights(5, D_IN, D_SAE, d_out=d_out)
    if "threshold" in format_options:
        weights.tensors["threshold"] = np.array([format_options["threshold"]], np.float32)
    source = write(tmp_path / "some", weights, architecture, names, **options)
    hidden = np.random.default_rng(2).normal(size=(30, D_IN)).astype(np.float32) * 2
    values, near_threshold = encode(weights, hidden, **format_options)

    encoded = source.encode(torch.tensor(hidden)).numpy()
    np.testing.assert_allclose(
        np.where(near_threshold, 0, encoded), np.where(near_threshold, 0, values), rtol=1e-4, atol=1e-4
    )
    assert 0.02 < (values > 0).mean() < 0.98
    chosen_values = encode_features(source, torch.tensor(hidden), CHOSEN).numpy()
    np.testing.assert_allclose(chosen_values, encoded[:, CHOSEN], rtol=1e-4, atol=1e-4)

    folded = architecture != "topk"
    rows = weights.W_dec.astype(np.float64) / (weights.lengths[:, None] if folded else 1)
    np.testing.assert_allclose(source.decoder_row(7).numpy(), rows[7], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(source.decoder_rows().numpy(), rows, rtol=1e-4, atol=1e-5)
    encoder_column = weights.W_enc[:, 7] * (weights.lengths[7] if folded else 1)
    np.testing.assert_allclose(source.encoder_column(7).numpy(), encoder_column, rtol=1e-4, atol=1e-5)
    assert (source.d_in, source.d_out, source.d_sae) == (D_IN, d_out, D_SAE)
    assert source.steer_hook == ("blocks.5.hook_mlp_out" if "transcoder" in architecture else source.hook_name)

    expected = encoded @ rows + weights.b_dec
    if "skip" in architecture:
        expected = expected + hidden @ weights.W_skip.T
    if format_options.get("normalized"):
        expected = expected * hidden.std(-1, ddof=1, keepdims=True) + hidden.mean(-1, keepdims=True)
    rebuilt = source.reconstruct(torch.tensor(hidden)).numpy()
    np.testing.assert_allclose(rebuilt, expected, rtol=1e-3, atol=1e-3)


def test_top_k_keeps_k_of_equal_values(tmp_path: Path) -> None:
    """Exactly k fire, with all values above the k-th; torch chooses among those equal to it."""
    weights = random_weights(5, D_IN, D_SAE)
    weights.tensors["W_enc"][:] = 0
    weights.tensors["b_enc"][:] = 1
    weights.tensors["b_enc"][:3] = 2
    source = write(tmp_path / "some", weights, "topk", PLAIN, k=K)
    (values,) = source.encode(torch.zeros(1, D_IN)).numpy()
    assert (values > 0).sum() == K and values[:3].tolist() == [2, 2, 2] and set(values[3:]) == {0, 1}


def test_top_k_below_zero_does_not_fire(tmp_path: Path) -> None:
    weights = random_weights(5, D_IN, D_SAE)
    weights.tensors["W_enc"][:] = 0
    weights.tensors["b_enc"][:] = -1
    weights.tensors["b_enc"][0] = 1
    source = write(tmp_path / "some", weights, "topk", PLAIN, k=K)
    assert source.encode(torch.zeros(1, D_IN)).nonzero().tolist() == [[0, 0]]


def test_attention_heads_are_flattened(tmp_path: Path) -> None:
    """SAELens itself would flatten (T, D) as if it were (heads, d_head)."""
    weights = random_weights(5, D_IN, D_SAE)
    folder = write_saelens(tmp_path / "some", weights)
    config = json.loads((folder / "cfg.json").read_text())
    config["reshape_activations"] = "hook_z"
    config["metadata"]["hook_name"] = "blocks.5.attn.hook_z"
    (folder / "cfg.json").write_text(json.dumps(config))
    hidden = np.random.default_rng(2).normal(size=(30, D_IN)).astype(np.float32) * 2
    values, near_threshold = encode(weights, hidden, "jump")
    source = load_source(folder, "5-some")
    encoded = source.encode(torch.tensor(hidden)[None]).numpy()[0]
    np.testing.assert_allclose(
        np.where(near_threshold, 0, encoded), np.where(near_threshold, 0, values), rtol=1e-4, atol=1e-4
    )
    assert source.reconstruct(torch.tensor(hidden)[None]).shape == (1, 30, D_IN)


def test_neurons_as_a_source() -> None:
    source = neuron_source(3, 50, prepend_bos=True, context_size=64)
    assert (source.id, source.layer, source.hook_name) == ("3", 3, "blocks.3.mlp.hook_post")
    assert source.d_in == source.d_out == source.d_sae == 50 and source.nbytes("float32") == 0
    assert source.recipe.ignored_positions == (0,)
    hidden = torch.randn(4, 50)
    assert torch.equal(source.encode(hidden), hidden) and torch.equal(source.reconstruct(hidden), hidden)
    assert torch.equal(encode_features(source, hidden, [7, 2]), hidden[:, [7, 2]])
    assert source.decoder_row(7).nonzero().tolist() == [[7]] and source.decoder_row(7).sum() == 1
    assert torch.equal(source.encoder_column(7), source.decoder_row(7)) and source.steer_hook == source.hook_name
    with pytest.raises(InvalidRequestError, match="orthogonal"):
        source.decoder_rows()
    assert neuron_source(3, 50, prepend_bos=False, context_size=64).recipe.ignored_positions == ()
