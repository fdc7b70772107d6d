"""Folders and repositories in the layouts of Gemma Scope 2, Llama Scope, Goodfire, circuit-tracer and crosscoders,
written without our readers: ids, hooks, values by numpy, and the reasons of those that are not served."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.errors import RecipeError, SourceError
from memicos_engine.sources.config_checks import CROSS_LAYER, CROSSCODER
from memicos_engine.sources.source import SaeSource
from memicos_engine.sources.source_candidates import SourceCandidate
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_engine.sources.source_selection import select_sources
from memicos_engine.sources.source_specs import SourceSelection
from memicos_testing.models.foreign_saes import (
    Encoded,
    K,
    Weights,
    encode,
    random_weights,
    write_circuit_tracer,
    write_gemma_scope_2,
    write_goodfire,
    write_json,
    write_llama_scope,
    write_unsupported_layout,
)
from memicos_testing.models.small_hub import SmallHub, asked_at
from memicos_testing.servers import in_thread
from safetensors.numpy import load_file, save_file

D_IN, D_SAE, LAYER = 32, 48, 5
NORM_IN, NORM_OUT = 22.0, 9.0
"""Average norms of activations in the tests of scaled SAEs."""
FACTOR_IN, FACTOR_OUT = D_IN**0.5 / NORM_IN, D_IN**0.5 / NORM_OUT


@pytest.fixture
def weights() -> Weights:
    return random_weights(LAYER, D_IN, D_SAE)


def candidates(*sets: str) -> list[SourceCandidate]:
    return select_sources(SourceSelection(sets, ("some",)), lambda _step, _share: None).candidates


def check_values(
    source: SaeSource,
    weights: Weights,
    expected: Callable[[np.ndarray], Encoded],
    reconstruct: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    scale: float = 3,
) -> None:
    """Compare values and reconstructions with numpy. `reconstruct` gets values by length of direction and inputs."""
    hidden = (np.random.default_rng(1).normal(size=(40, D_IN)) * scale).astype(np.float32)
    values, near = expected(hidden)
    actual = source.encode(torch.from_numpy(hidden)).numpy()
    assert 0.02 < (values > 0).mean() < 0.98 and near.mean() < 0.05
    np.testing.assert_allclose(np.where(near, 0, actual), np.where(near, 0, values), rtol=1e-4, atol=1e-4)
    if reconstruct is None:
        expected_output = actual @ (weights.W_dec / weights.lengths[:, None]) + weights.b_dec
    else:
        expected_output = reconstruct(actual, hidden)
    output = source.reconstruct(torch.from_numpy(hidden)).numpy()
    np.testing.assert_allclose(output, expected_output, rtol=1e-3, atol=1e-3)


def refusal(path: Path) -> str:
    """The reason, which is the same before weights are read and after, and by an entry of SAE_SETS."""
    reasons = []
    for read in (read_local_info, load_source, lambda path, _id: candidates(f"path:{path}")[0].read_info()):
        with pytest.raises(SourceError) as caught:
            read(path, "5-some")
        reasons.append(str(caught.value).partition(" is not a source that can be loaded: ")[2])
    assert len(set(reasons)) == 1
    return reasons[0]


GEMMA_KINDS = {
    "resid_post": ("output", "output", "hook_resid_post", None),
    "attn_out": ("self_attn.o_proj.input", "self_attn.o_proj.input", "attn.hook_z", None),
    "mlp_out": ("post_feedforward_layernorm.output", "post_feedforward_layernorm.output", "hook_mlp_out", None),
    "transcoder": (
        "pre_feedforward_layernorm.output",
        "post_feedforward_layernorm.output",
        "pre_feedforward_layernorm.output",
        "hook_mlp_out",
    ),
}
"""Modules in the configuration, and the hooks that they are."""


@pytest.mark.parametrize("with_config", [True, False])
@pytest.mark.parametrize("kind", GEMMA_KINDS)
def test_gemma_scope_2(kind: str, with_config: bool, weights: Weights, tmp_path: Path) -> None:
    module_in, module_out, hook, hook_out = GEMMA_KINDS[kind]
    modules: dict[str, Any] = {
        "hf_hook_point_in": f"model.layers.5.{module_in}",
        "hf_hook_point_out": f"model.layers.5.{module_out}",
    }
    folder = tmp_path / f"{kind}_all" / "layer_5_width_16k_l0_big"
    write_gemma_scope_2(folder, weights, type="transcoder" if kind == "transcoder" else "sae", **modules)
    if not with_config:
        (folder / "config.json").unlink()
    (candidate,) = candidates(f"path:{folder.parent}")
    info = candidate.read_info()
    assert candidate.id == f"5-{kind}_all-width_16k_l0_big"
    assert info.hook_name == f"blocks.5.{hook}" and info.l0 == (60 if with_config else None)
    assert info.recipe.hook_name_out == (f"blocks.5.{hook_out}" if hook_out else None)
    assert info.architecture == ("jumprelu_transcoder" if hook_out else "jumprelu")
    check_values(load_source(folder, "5-some"), weights, lambda h: encode(weights, h, "jump"))


def test_an_affine_transcoder_of_gemma_scope_2_adds_its_input(weights: Weights, tmp_path: Path) -> None:
    modules: dict[str, Any] = {
        f"hf_hook_point_{side}": f"model.layers.5.{GEMMA_KINDS['transcoder'][n]}"
        for n, side in enumerate(("in", "out"))
    }
    folder = write_gemma_scope_2(tmp_path / "some", weights, affine=True, type="transcoder", **modules)
    source = load_source(folder, "5-some")
    assert source.architecture == "jumprelu_skip_transcoder"
    rows = weights.W_dec / weights.lengths[:, None]
    # stored as (d_in, d_out): input @ stored, which is the transpose of SAELens' matrix
    stored = load_file(folder / "params.safetensors")["affine_skip_connection"]
    check_values(
        source, weights, lambda h: encode(weights, h, "jump"), lambda v, h: v @ rows + weights.b_dec + h @ stored
    )
    content = load_file(folder / "params.safetensors")
    del content["affine_skip_connection"]
    save_file(content, folder / "params.safetensors")
    assert "its affine_connection is set, but its weights have no affine_skip_connection" in refusal(folder)


def test_several_sources_of_a_layer_have_ids_of_their_own(weights: Weights, tmp_path: Path) -> None:
    for name in ("layer_5_width_16k_l0_big", "layer_5_width_16k_l0_small", "layer_5_width_65k_l0_big"):
        write_gemma_scope_2(tmp_path / "resid_post" / name, weights)
    ids = [candidate.id for candidate in candidates(f"path:{tmp_path}/resid_post")]
    assert ids == [f"5-resid_post-width_{rest}" for rest in ("16k_l0_big", "16k_l0_small", "65k_l0_big")]
    (one,) = candidates(f"path:{tmp_path}/resid_post/layer_5_width_16k_l0_big")
    assert one.id == "5-width_16k_l0_big"


def write_hyperparams(folder: Path, weights: Weights, threshold: float, **settings: Any) -> Path:
    """As Llama Scope was published: one threshold, in units of the activations before they are scaled."""
    write_llama_scope(folder, weights)
    stored = load_file(folder / "sae_weights.safetensors")
    stored = {name: value for name, value in stored.items() if "norm" not in name and "threshold" not in name}
    (folder / "checkpoints").mkdir()
    save_file(stored, folder / "checkpoints" / "final.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"jump_relu_threshold": threshold}
    del config["sae_type"]
    norms = {"in": NORM_IN, "out": settings.pop("norm_out", NORM_IN)}
    write_json(folder / "hyperparams.json", config | {"dataset_average_activation_norm": norms} | settings)
    for name in ("config.json", "sae_weights.safetensors"):
        (folder / name).unlink()
    return folder


def scaled(weights: Weights, hidden: np.ndarray, threshold: Any = None) -> Encoded:
    """Values in real units of an SAE whose input and output are both scaled by FACTOR_IN."""
    values, near = encode(weights, hidden * FACTOR_IN, "jump", threshold=threshold)
    return values / FACTOR_IN, near


def test_llama_scope_is_scaled_by_the_average_norm(weights: Weights, tmp_path: Path) -> None:
    folder = write_hyperparams(tmp_path / "Llama3_1-8B-Base-L5R-8x", weights, 4.0)
    source = load_source(folder, "5-some")
    assert source.hook_name == "blocks.5.hook_resid_post" and source.recipe.hook_name_out is None
    assert source.recipe.normalize_activations == "expected_average_only_in"
    assert source.recipe.norm_scaling_factor == pytest.approx(FACTOR_IN)
    rows = weights.W_dec / weights.lengths[:, None]
    check_values(
        source,
        weights,
        lambda h: scaled(weights, h, 4.0 * FACTOR_IN),
        lambda v, _h: v @ rows + weights.b_dec / FACTOR_IN,
        scale=12,
    )


def test_a_transcoder_of_llama_scope_has_a_norm_for_its_output(weights: Weights, tmp_path: Path) -> None:
    settings = {"hook_point_in": "blocks.5.ln2.hook_normalized", "hook_point_out": "blocks.5.hook_mlp_out"}
    folder = write_hyperparams(tmp_path / "some", weights, 4.0, norm_out=NORM_OUT, **settings)
    source = load_source(folder, "5-some")
    assert (source.architecture, source.steer_hook) == ("jumprelu_transcoder", "blocks.5.hook_mlp_out")
    rows = weights.W_dec / weights.lengths[:, None]

    def expected(hidden: np.ndarray) -> Encoded:
        values, near = encode(weights, hidden * FACTOR_IN, "jump", threshold=4.0 * FACTOR_IN)
        return values / FACTOR_OUT, near

    check_values(source, weights, expected, lambda v, _h: v @ rows + weights.b_dec / FACTOR_OUT, scale=12)


def test_a_threshold_of_lm_saes_is_that_of_values_times_the_length_of_the_direction(
    weights: Weights, tmp_path: Path
) -> None:
    folder = write_llama_scope(tmp_path / "some", weights, sparsity_include_decoder_norm=True)
    check_values(
        load_source(folder, "5-some"),
        weights,
        lambda h: encode(weights, h, "jump", threshold=weights.threshold / weights.lengths),
    )


def test_top_k_of_lm_saes_ranks_by_the_length_of_the_direction(weights: Weights, tmp_path: Path) -> None:
    folder = write_llama_scope(
        tmp_path / "some",
        weights,
        act_fn="topk",
        top_k=K,
        sparsity_include_decoder_norm=True,
        norm_activation="inference",
    )
    source = load_source(folder, "5-some")
    assert source.k == K and source.unit_directions

    def expected(hidden: np.ndarray) -> Encoded:
        values, _ = encode(weights, hidden, "relu")
        least = np.sort(values, axis=-1)[:, -K, None]
        return np.where(values >= least, values, 0), np.abs(values - least) < 1e-3

    check_values(source, weights, expected)


def test_the_norm_is_read_from_the_weights(weights: Weights, tmp_path: Path) -> None:
    folder = write_llama_scope(tmp_path / "some", weights)
    stored = load_file(folder / "sae_weights.safetensors")
    name = "dataset_average_activation_norm.blocks.5.hook_resid_post"
    save_file(stored | {name: np.array(NORM_IN, np.float32)}, folder / "sae_weights.safetensors")
    assert read_local_info(folder, "5-some").recipe.norm_scaling_factor == pytest.approx(FACTOR_IN)
    rows = weights.W_dec / weights.lengths[:, None]
    check_values(
        load_source(folder, "5-some"),
        weights,
        lambda h: scaled(weights, h),
        lambda v, _h: v @ rows + weights.b_dec / FACTOR_IN,
        scale=12,
    )
    for value in (0.0, np.nan, -2.0):
        save_file(stored | {name: np.array(value, np.float32)}, folder / "sae_weights.safetensors")
        assert "expected a number above 0" in refusal(folder)
    del stored[name]
    save_file(stored, folder / "sae_weights.safetensors")
    with pytest.raises(RecipeError, match="the factor is not given"):
        read_local_info(folder, "5-some")
    (folder / "memicos.json").write_text(json.dumps({"norm_scaling_factor": FACTOR_IN}))
    assert read_local_info(folder, "5-some").recipe.norm_scaling_factor == pytest.approx(FACTOR_IN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sae_type": "crosscoder"}, CROSSCODER),
        ({"sae_type": "clt"}, CROSS_LAYER),
        ({"sae_type": "lorsa"}, "its sae_type is lorsa: SAELens has no such architecture"),
        ({"use_glu_encoder": True}, "its use_glu_encoder is set"),
        ({"act_fn": "batchtopk"}, "its act_fn is batchtopk"),
        ({"norm_activation": "batch-wise"}, "its norm_activation is batch-wise; there are dataset-wise"),
    ],
)
def test_a_kind_of_lm_saes_that_is_not_served_is_refused(
    settings: dict[str, Any], message: str, weights: Weights, tmp_path: Path
) -> None:
    assert message in refusal(write_llama_scope(tmp_path / "some", weights, **settings))


@pytest.mark.parametrize(("encoder", "decoder"), [("encoder_linear", "decoder_linear"), ("encoder", "decoder")])
def test_goodfire(encoder: str, decoder: str, weights: Weights, tmp_path: Path) -> None:
    folder = write_goodfire(tmp_path / "some", weights, encoder, decoder)
    (file,) = folder.iterdir()
    for name in (file.name, file.name.removesuffix("h")):
        file = file.rename(folder / name)
        source = load_source(folder, "5-some")
        assert source.hook_name == "blocks.5.hook_resid_post"
        check_values(source, weights, lambda h: encode(weights, h, "relu"))


@pytest.mark.parametrize("jump", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_each_file_of_circuit_tracer_is_a_source(jump: bool, skip: bool, tmp_path: Path) -> None:
    layers = (0, 2, 11)
    every = {layer: random_weights(layer, D_IN, D_SAE, seed=layer) for layer in layers}
    folder = tmp_path / "qwen-transcoders"
    for of_layer in every.values():
        write_circuit_tracer(
            folder, of_layer, jump, skip, feature_input_hook="mlp.hook_in", feature_output_hook="mlp.hook_out"
        )
    sources = candidates(f"path:{folder}")
    assert [source.id for source in sources] == [f"{layer}-qwen-transcoders" for layer in layers]
    assert [source.weights for source in sources] == [f"qwen-transcoders/layer_{layer}.safetensors" for layer in layers]
    # a folder of such folders: each is a set
    assert [source.id for source in candidates(f"path:{tmp_path}")] == [source.id for source in sources]
    for candidate, (layer, of_layer) in zip(sources, every.items(), strict=True):
        source = candidate.load()
        assert isinstance(source, SaeSource) and candidate.read_info() == replace(candidate.read_info(), id=source.id)
        assert (source.hook_name, source.steer_hook) == (f"blocks.{layer}.mlp.hook_in", f"blocks.{layer}.mlp.hook_out")
        rows, added = of_layer.W_dec / of_layer.lengths[:, None], of_layer.W_skip.T if skip else np.zeros((D_IN, D_IN))
        check_values(
            source,
            of_layer,
            lambda h, w=of_layer: encode(w, h, "jump" if jump else "relu"),
            lambda v, h, w=of_layer, rows=rows, added=added: v @ rows + w.b_dec + h @ added,
        )


def test_faults_of_circuit_tracers_files_are_named(weights: Weights, tmp_path: Path) -> None:
    folder = write_circuit_tracer(tmp_path / "some", weights)
    config = json.loads((folder / "config.yaml").read_text())
    (folder / "memicos.json").write_text('{"hook_name": "blocks.5.hook_resid_pre"}')
    with pytest.raises(RecipeError, match=r'expected "hook_name" with \{layer\}'):
        read_local_info(folder, "5-some")
    hooks = {"hook_name": "blocks.{layer}.mlp.hook_in", "hook_name_out": "blocks.{layer}.mlp.hook_out"}
    (folder / "memicos.json").write_text(json.dumps(hooks))
    recipe = read_local_info(folder, "5-some").recipe
    assert (recipe.hook_name, recipe.hook_name_out) == ("blocks.5.mlp.hook_in", "blocks.5.mlp.hook_out")
    (folder / "memicos.json").write_text('{"set": "mine", "context_size": 99}')
    (candidate,) = candidates(f"path:{folder}")
    assert candidate.id == "5-mine" and candidate.read_info().recipe.context_size == 99
    del config["feature_input_hook"]
    (folder / "config.yaml").write_text(json.dumps(config))
    assert "config.yaml has no feature_input_hook" in refusal(folder)
    (folder / "config.yaml").write_text("a: [")
    assert "config.yaml is not YAML" in refusal(folder)
    (folder / "config.yaml").unlink()
    assert "config.yaml is missing" in refusal(folder)
    write_circuit_tracer(folder, weights)
    stored = load_file(folder / "layer_5.safetensors")
    save_file(stored | {"log_thresholds": stored["b_enc"]}, folder / "layer_5.safetensors")
    assert "its weights have log_thresholds; there are W_dec, W_enc" in refusal(folder)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("clt", CROSS_LAYER),
        ("crosscoder", CROSSCODER),
        ("circuit-tracer", CROSS_LAYER),
        (
            "circuit-tracer's links",
            "files of other repositories; add those, such as hf://google/some/layer_0/params.npz",
        ),
        ("dictionary_learning", CROSSCODER),
        ("model difference", CROSSCODER),
        ("finetuning", CROSSCODER),
        ("three axes", CROSSCODER),
    ],
)
def test_crosscoders_are_refused_with_the_reason(kind: str, reason: str, weights: Weights, tmp_path: Path) -> None:
    assert reason in refusal(write_unsupported_layout(kind, tmp_path / "some", weights))


def test_the_layouts_are_found_in_repositories_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = SmallHub(tmp_path / "hub")
    weights = random_weights(LAYER, D_IN, D_SAE)
    gemma = write_gemma_scope_2(hub.folder / "google/gemma-scope-2/resid_post/layer_5_width_16k_l0_big", weights)
    (gemma / "examples.safetensors").write_bytes(b"large")
    write_hyperparams(hub.folder / "fnlp/LXR-8x/Llama3_1-8B-Base-L5R-8x", weights, 4.0)
    write_goodfire(hub.folder / "Goodfire/Some-SAE-l5", weights)
    write_circuit_tracer(hub.folder / "mwhanna/transcoders", weights)
    write_unsupported_layout("crosscoder", hub.folder / "google/gemma-scope-2", weights)
    expected = {
        "hf:google/gemma-scope-2/resid_post": "5-resid_post-width_16k_l0_big",
        "hf:fnlp/LXR-8x": "5-LXR-8x",
        "hf:Goodfire/Some-SAE-l5": "5-Some-SAE-l5",
        "hf:mwhanna/transcoders": "5-transcoders",
    }
    with in_thread(hub.app()) as url, asked_at(url, tmp_path / "cache", monkeypatch):
        sources = candidates(*expected)
        assert [source.id for source in sources] == list(expected.values())
        assert [source.read_info().d_sae for source in sources] == [D_SAE] * 4
        assert all(isinstance(source.load(), SaeSource) for source in sources)
        (refused,) = candidates("hf:google/gemma-scope-2/crosscoder")
        with pytest.raises(SourceError) as caught:
            refused.read_info()
    assert CROSSCODER in str(caught.value)
    assert not [path for path in hub.seen if path.endswith("examples.safetensors")]
