"""Parts of `recompute` against the engine: two implementations that share no code give the same numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_client.models import Recipe, SaeRecipe
from memicos_engine.capture.capture import capture
from memicos_engine.model.language_model import load_model
from memicos_engine.sources.source import SaeSource
from memicos_engine.sources.source_loading import load_source
from memicos_pipeline.recompute import compare, hidden_states, sae
from memicos_pipeline.recompute.errors import RecomputeError
from memicos_pipeline.recompute.server_values import FeatureAddress, address
from memicos_testing.models.foreign_saes import Weights, random_weights, write_gemma_scope, write_saelens
from memicos_testing.models.small_model import small_model
from memicos_testing.models.tiny_models import CONFIGS, LONGROPE_LIMIT, tiny_model
from safetensors.numpy import save_file
from transformers import Gemma3TextConfig, GemmaConfig, MistralConfig, Qwen3Config, SmolLM3Config

IDS = [2, 17, 300, 41, 5, 999, 17, 80, 3, 250, 7]
D_IN, D_SAE = 24, 40


def saelens(folder: Path, weights: Weights, architecture: str, **config: Any) -> Path:
    names = {"gated": ("b_gate", "b_mag", "r_mag"), "jumprelu": ("b_enc", "threshold")}.get(
        architecture.removesuffix("_transcoder"), ("b_enc",)
    )
    tensors = {name: weights.tensors[name] for name in ("W_enc", "W_dec", "b_dec", *names)}
    folder.mkdir(parents=True)
    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "sae_weights.safetensors"
    )
    stated = {"hook_name": "blocks.1.hook_resid_post", "prepend_bos": True, "context_size": 64}
    own = {"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu"}
    plain = own | {"apply_b_dec_to_input": False, "metadata": stated | {"sae_lens_version": "6.54.0"}}
    (folder / "cfg.json").write_text(json.dumps(plain | config))
    return folder


def scaled(folder: Path, weights: Weights) -> Path:
    saelens(folder, weights, "jumprelu", normalize_activations="expected_average_only_in", apply_b_dec_to_input=True)
    (folder / "memicos.json").write_text('{"norm_scaling_factor": 0.31}')
    return folder


def old(folder: Path, weights: Weights) -> Path:
    """A cfg.json as SAELens wrote it before version 6."""
    saelens(folder, weights, "standard")
    config = {
        "d_in": D_IN,
        "d_sae": D_SAE,
        "dtype": "float32",
        "device": "cpu",
        "hook_point": "blocks.1.hook_resid_post",
    }
    (folder / "cfg.json").write_text(json.dumps(config | {"context_size": 64, "model_name": "some/model"}))
    return folder


def checkpoint(folder: Path, weights: Weights) -> Path:
    """Of batch top-k, as SAELens saves it while training."""
    saelens(folder, weights, "batchtopk", k=8)
    names = ("W_enc", "W_dec", "b_dec", "b_enc")
    tensors = {name: np.ascontiguousarray(weights.tensors[name]) for name in names}
    save_file(tensors | {"topk_threshold": np.array(0.7, np.float32)}, folder / "sae_weights.safetensors")
    return folder


def transcoder(folder: Path, weights: Weights) -> Path:
    saelens(folder, weights, "jumprelu_transcoder", d_out=D_IN)
    (folder / "memicos.json").write_text('{"hook_name_out": "blocks.1.hook_mlp_out"}')
    return folder


Write = Callable[[Path, Weights], Path]
WRITERS: dict[str, Write] = {
    "standard": lambda f, w: saelens(f, w, "standard", apply_b_dec_to_input=True),
    "jumprelu": lambda f, w: saelens(f, w, "jumprelu"),
    "gated": lambda f, w: saelens(f, w, "gated"),
    "topk": lambda f, w: saelens(f, w, "topk", k=8),
    "topk rescaled": lambda f, w: saelens(f, w, "topk", k=8, rescale_acts_by_decoder_norm=True),
    "layer norm": lambda f, w: saelens(f, w, "topk", k=8, normalize_activations="layer_norm"),
    "constant norm": lambda f, w: saelens(f, w, "standard", normalize_activations="constant_norm_rescale"),
    "scaled": scaled,
    "old": old,
    "batch top-k checkpoint": checkpoint,
    "transcoder": transcoder,
    "SAELens as others write it": write_saelens,
    "Gemma Scope": write_gemma_scope,
}


def recipe_of(source: SaeSource, dtype: str) -> SaeRecipe:
    return SaeRecipe(
        weights="",
        architecture=source.architecture,
        dtype=dtype,
        normalize_activations=source.recipe.normalize_activations,
        norm_scaling_factor=source.recipe.norm_scaling_factor,
        unit_directions=source.unit_directions,
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", WRITERS)
def test_values_of_an_sae(name: str, dtype: str, tmp_path: Path) -> None:
    folder = WRITERS[name](tmp_path / "1-some", random_weights(1, D_IN, D_SAE))
    at_hook = np.random.default_rng(1).normal(size=(30, D_IN)) * 2
    source = load_source(folder, "1-some", dtype=dtype)
    expected = source.encode(torch.from_numpy(at_hook).float()[None])[0].double().numpy()
    assert (expected > 0).any() and (expected == 0).any()
    own = sae.read(folder, recipe_of(source, dtype))
    everywhere, no_margin = np.ones(30, bool), np.full(30, np.inf)
    for index in range(D_SAE):
        encoded = sae.encode(own, at_hook, index)
        assert np.all((encoded.values == 0) | (encoded.values == encoded.fired))
        within = compare.TOLERANCES[dtype]
        result = compare.difference(expected[:, index], encoded, everywhere, no_margin, within)
        assert result.worst <= within / (50 if dtype == "float32" else 1)


_USUAL: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 0,
}
MORE: dict[str, Callable[[], Any]] = {
    "mistral": lambda: MistralConfig(**_USUAL, head_dim=8),
    "qwen3": lambda: Qwen3Config(**_USUAL, head_dim=16),
    "smollm3": lambda: SmolLM3Config(**_USUAL),
    "gemma": lambda: GemmaConfig(**_USUAL, head_dim=16),
    "gemma3_text": lambda: Gemma3TextConfig(**_USUAL, head_dim=16),
}


@pytest.mark.parametrize("architecture", [*CONFIGS, *MORE])
def test_activations_at_hooks(architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, config in MORE.items():
        monkeypatch.setitem(CONFIGS, name, config)
    folder = tiny_model(tmp_path / "tiny", architecture, small_model(tmp_path / "tokenizer"))
    engine, own = load_model("tiny", str(folder)), hidden_states.load_model(str(folder), "float32")
    places = hidden_states.HOOK_MODULES.get(own.config.model_type, {}) | hidden_states.RESIDUAL_STREAM
    hooks = [f"blocks.{layer}.{name}" for layer in (0, 2) for name in places]
    long_text = IDS * (LONGROPE_LIMIT // len(IDS) + 1)
    for ids in (IDS, long_text) if architecture.endswith("longrope") else (IDS,):
        expected = capture(engine, torch.tensor([ids]), None, hooks)
        for hook in hooks:
            own_values = hidden_states.activations(own, hook, ids)
            assert np.allclose(own_values, expected[hook][0].numpy(), rtol=1e-5, atol=1e-5), hook
    # of these recompute covers the residual stream only (docs/dataset.md)
    assert len(places) == 2 if architecture in ("granite", "opt", "phimoe-longrope") else len(places) >= 7
    for hook, message in (("blocks.0.hook_q", "is not covered"), ("blocks.3.hook_resid_post", "has layers 0 to 2")):
        with pytest.raises(RecomputeError, match=message):
            hidden_states.activations(own, hook, IDS)
    with pytest.raises(RecomputeError, match="has no token 1024"):
        hidden_states.activations(own, hooks[0], [2, 1024])


def values(*numbers: float, fired: float = 5.0, margin: float = 5.0) -> sae.Values:
    stored_values = np.array(numbers, dtype=np.float64)
    return sae.Values(
        stored_values,
        np.full_like(stored_values, fired),
        np.full_like(stored_values, margin),
        np.full_like(stored_values, 50.0),
    )


def largest_difference(stored: list[float], recomputed: sae.Values, edge: float = np.inf, counts: bool = True) -> float:
    n = len(stored)
    return compare.difference(np.array(stored), recomputed, np.full(n, counts), np.full(n, edge), 1e-3).worst


def test_differences() -> None:
    assert largest_difference([5, 0, 10], values(5, 0, 10)) == 0
    assert largest_difference([5, 0, 10], values(5, 0, 10.1)) == pytest.approx(0.1 / 10.1)
    assert largest_difference([5], values(0)) == largest_difference([0], values(5)) == 1
    # below a hundredth of the largest such activations, differences are relative to that
    assert largest_difference([0.002], values(0.001)) == pytest.approx(0.001 / 0.5)
    # where rounding decides whether a feature fires, both values are accepted, and nothing else
    assert (
        largest_difference([5, 0], values(5, 5, margin=1e-4))
        == largest_difference([5, 0], values(0, 0, margin=-1e-4))
        == 0
    )
    assert largest_difference([4], values(5, margin=1e-4)) == pytest.approx(0.2)
    assert largest_difference([5], values(5, margin=1e-4), counts=False) == 1
    # the same for the norm cut
    assert (
        largest_difference([5, 0], values(5, 5), edge=1e-4)
        == largest_difference([5, 0], values(5, 5), edge=-1e-4, counts=False)
        == 0
    )
    assert np.isnan(largest_difference([np.nan], values(5)))


def test_positions_that_a_dataset_leaves_out() -> None:
    recipe = Recipe("m", "w", "float32", "none", True, "h", 8, [0, 2], 5.0, None)
    at_hook = np.array([[1.0, 0], [3, 0], [1, 0], [6, 0], [5.001, 0]])
    counts, edge = compare.counted(recipe, at_hook)
    assert counts.tolist() == [False, True, False, False, False]
    assert edge == pytest.approx([np.inf, 0.4, np.inf, -0.2, -0.0002])


HERE = FeatureAddress("http://127.0.0.1:3000", "m", "1-res", 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m/1-res/5", HERE),
        ("http://127.0.0.1:3000/m/1-res/5?embed=true#x", HERE),
        ("127.0.0.1:3000/m/1-res/5", HERE),
        (
            "https://a.example/api/feature/m%2E1/1-res__x/12/",
            FeatureAddress("https://a.example", "m.1", "1-res__x", 12),
        ),
    ],
)
def test_valid_addresses(text: str, expected: FeatureAddress) -> None:
    assert address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "5", "m/1-res", "m/1-res/x", "m/1-res/5/6", "ftp://a/m/1-res/5", "http:///m/1-res/5"]
)
def test_invalid_addresses(text: str) -> None:
    with pytest.raises(RecomputeError, match="is no"):
        address(text)


def test_saes_that_cannot_be_read(tmp_path: Path) -> None:
    folder = saelens(tmp_path / "1-some", random_weights(1, D_IN, D_SAE), "standard")
    recipe = recipe_of(load_source(folder, "1-some"), "float32")
    own = sae.read(folder, recipe)
    for width, index in ((D_IN + 1, 0), (D_IN, D_SAE)):
        with pytest.raises(RecomputeError, match=f"reads {D_IN} numbers and has features 0 to {D_SAE - 1}"):
            sae.encode(own, np.zeros((3, width)), index)
    recipe.architecture = "jumprelu"
    with pytest.raises(RecomputeError, match="is no jumprelu: it has no threshold"):
        sae.read(folder, recipe)
    recipe.architecture = "temporal"
    with pytest.raises(RecomputeError, match="temporal is not covered"):
        sae.read(folder, recipe)
    recipe.architecture = "standard"
    (folder / "sae_weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(RecomputeError, match="cannot be read"):
        sae.read(folder, recipe)
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(RecomputeError, match="no other layout is read"):
        sae.read(folder, recipe)
    with pytest.raises(RecomputeError, match="there is no folder"):
        sae.find(str(tmp_path / "nowhere"))
