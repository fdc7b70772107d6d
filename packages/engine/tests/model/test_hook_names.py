"""Hooks by module name: the names, and that the right activations are captured, steered and encoded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from memicos_engine.capture.capture import capture
from memicos_engine.errors import InvalidRequestError, RecipeError
from memicos_engine.model import hook_points
from memicos_engine.model.hook_names import canonical_hook_name
from memicos_engine.model.language_model import LanguageModel, load_model_outline
from memicos_engine.selftest.compatibility import find_incompatible
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_testing.models.foreign_saes import random_weights, write_gemma_scope_2
from safetensors.numpy import save_file

BLOCKS = {
    "llama": "model.layers",
    "gpt2": "transformer.h",
    "gpt_neox": "gpt_neox.layers",
    "gemma2": "model.layers",
    "gemma3": "model.layers",
    "qwen2": "model.layers",
    "granite": "model.layers",
    "phi3-longrope": "model.layers",
    "phimoe-longrope": "model.layers",
    "opt": "model.decoder.layers",
}
IDS = torch.tensor([[2, 5, 6, 7, 11, 300]])
D_SAE = 48


def plain_values(hf: Any, module_names: list[str]) -> dict[str, Any]:
    """Inputs and outputs of modules in one run of the plain model, by `<module>.<side>`."""
    values: dict[str, Any] = {}

    def record(name: str) -> Callable[..., None]:
        def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            before = args[0] if args else kwargs.get("hidden_states")
            after = output[0] if isinstance(output, tuple) else output
            values.update({f"{name}.input": before, f"{name}.output": after})

        return hook

    handles = [hf.get_submodule(name).register_forward_hook(record(name), with_kwargs=True) for name in module_names]
    try:
        with torch.no_grad():
            hf(IDS)
    finally:
        for handle in handles:
            handle.remove()
    return values


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("model.layers.7", "blocks.7.hook_resid_post"),
        ("model.layers.7.output", "blocks.7.hook_resid_post"),
        ("model.layers.7.input", "blocks.7.hook_resid_pre"),
        ("model.language_model.layers.7", "blocks.7.hook_resid_post"),
        ("layers.7", "blocks.7.hook_resid_post"),
        ("transformer.h.3.mlp", "blocks.3.mlp.output"),
        ("transformer.blocks.3.ffn.input", "blocks.3.ffn.input"),
        ("model.layers.1.self_attn.o_proj.input", "blocks.1.self_attn.o_proj.input"),
        ("model.layers.1.pre_feedforward_layernorm.output", "blocks.1.pre_feedforward_layernorm.output"),
        ("blocks.1.self_attn.o_proj.input", "blocks.1.self_attn.o_proj.input"),
        ("model.embed_tokens", "hook_embed"),
        ("blocks.1.hook_mlp_out", "blocks.1.hook_mlp_out"),
        ("blocks.1.ln2.hook_normalized", "blocks.1.ln2.hook_normalized"),
        ("nonsense", "nonsense"),
        ("lm_head", "lm_head"),
    ],
)
def test_names_of_modules_become_names_by_block(name: str, canonical: str) -> None:
    assert canonical_hook_name(name) == canonical == canonical_hook_name(canonical)


@pytest.mark.parametrize("architecture", BLOCKS)
def test_modules_by_name_have_the_values_of_the_plain_model(tiny: Any, architecture: str) -> None:
    """Every module of a block whose input or output is one vector per position."""
    model: LanguageModel = tiny(architecture)[0]
    vars(model).pop("bridge", None)  # other tests share the model
    hf = tiny(architecture)[1]
    block = f"{BLOCKS[architecture]}.1"
    modules = [name for name, _ in hf.named_modules() if name == block or name.startswith(f"{block}.")]
    served = 0
    for name, expected in plain_values(hf, modules).items():
        hook = canonical_hook_name(name)
        if expected is None or expected.ndim != 3 or hook_points.find_hook_module(model, hook) is None:
            continue
        hook_points.check_capturable(model, hook)
        actual = capture(model, IDS, None, [hook])[hook]
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5, msg=name)
        assert hook_points.hook_width(model, hook) == expected.shape[-1]
        served += 1
    assert served >= 12
    assert "bridge" not in vars(model), "the bridge was created, though every hook has a module"


@pytest.mark.parametrize("architecture", sorted(set(BLOCKS) - {"phimoe-longrope"}))  # its router needs values
def test_module_names_are_known_without_weights(tiny: Any, architecture: str) -> None:
    model: LanguageModel = tiny(architecture)[0]
    outline = load_model_outline(architecture, model.location)
    assert {name: width for name, (_, width) in outline.hook_modules.by_path.items()} == {
        name: width for name, (_, width) in model.hook_modules.by_path.items()
    }


@pytest.mark.parametrize(
    ("architecture", "module", "hook"),
    [
        ("llama", "model.layers.1.mlp", "blocks.1.hook_mlp_out"),
        ("llama", "model.layers.1.mlp.down_proj.input", "blocks.1.mlp.hook_post"),
        ("llama", "model.layers.1.self_attn.o_proj.input", "blocks.1.attn.hook_z"),
        ("gpt2", "transformer.h.1.attn", "blocks.1.hook_attn_out"),
        ("gemma3", "model.layers.1.post_feedforward_layernorm", "blocks.1.hook_mlp_out"),
        ("gemma3", "model.layers.1.output", "blocks.1.hook_resid_post"),
        ("llama", "blocks.1.mlp.hook_out", "blocks.1.hook_mlp_out"),
    ],
)
def test_a_module_is_steered_where_a_steerable_hook_is_the_same(
    tiny: Any, architecture: str, module: str, hook: str
) -> None:
    model = tiny(architecture)[0]
    expected = hook_points.steering_module(model, hook)
    assert hook_points.steering_module(model, canonical_hook_name(module)) == expected


def test_a_module_without_a_steerable_hook_is_captured_and_not_steered(tiny: Any) -> None:
    model = tiny("gemma3")[0]
    with pytest.raises(InvalidRequestError, match=r"pre_feedforward_layernorm\.output' cannot be steered"):
        hook_points.steering_module(model, "blocks.1.pre_feedforward_layernorm.output")
    with pytest.raises(InvalidRequestError, match=r"Unknown hook 'blocks\.1\.nothing\.output'"):
        hook_points.check_capturable(model, canonical_hook_name("model.layers.1.nothing"))
    with pytest.raises(InvalidRequestError, match="layers 0 to 2"):
        hook_points.check_capturable(model, canonical_hook_name("model.layers.9.mlp"))


def write_transcoder(folder: Path, hook_name: str | None, module_name: str | None, width: int = 32) -> Path:
    """A transcoder as SAELens saves those of Gemma Scope 2."""
    folder.mkdir(parents=True)
    tensors = random_weights(1, width, D_SAE).tensors
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    save_file({name: tensors[name] for name in names}, folder / "sae_weights.safetensors")
    metadata = {"model_name": "google/gemma-3-1b-it", "hook_name": hook_name, "hf_hook_name": module_name}
    metadata |= {"hook_name_out": "blocks.1.hook_mlp_out", "prepend_bos": True, "context_size": 128}
    config = {"architecture": "jumprelu_transcoder", "d_in": width, "d_sae": D_SAE, "d_out": width, "dtype": "float32"}
    config |= {"device": "cpu", "apply_b_dec_to_input": False, "normalize_activations": "none"}
    config |= {"reshape_activations": "none", "metadata": metadata | {"sae_lens_version": "6.54.0"}}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


NORM = "model.layers.1.pre_feedforward_layernorm.output"


@pytest.mark.parametrize(
    ("hook_name", "module_name"),
    [
        ("blocks.1.hook_mlp_in", NORM),
        ("blocks.1.mlp.hook_in", NORM),
        ("blocks.1.mlp.hook_in", None),
        ("blocks.1.ln2.hook_out", NORM),
        (None, NORM),
        (NORM, None),
    ],
)
def test_a_transcoder_of_gemma_scope_2_encodes_the_output_of_the_norm_before_the_mlp(
    tiny: Any, tmp_path: Path, hook_name: str | None, module_name: str | None
) -> None:
    model, hf = tiny("gemma3")
    folder = write_transcoder(tmp_path / "1-tc", hook_name, module_name)
    source = load_source(folder, "1-tc")
    assert find_incompatible(model, [source]) == {}
    assert (source.layer, source.steer_hook) == (1, "blocks.1.hook_mlp_out")
    hidden = plain_values(hf, ["model.layers.1.pre_feedforward_layernorm"])[NORM].double()
    w = {name: torch.from_numpy(value).double() for name, value in random_weights(1, 32, D_SAE).tensors.items()}
    before = hidden @ w["W_enc"] + w["b_enc"]
    expected = torch.where(before > w["threshold"], before, 0) * w["W_dec"].norm(dim=-1)
    near_threshold = (before - w["threshold"]).abs() < 1e-3
    actual = source.encode(capture(model, IDS, None, [source.hook_name])[source.hook_name]).double()
    torch.testing.assert_close(actual[~near_threshold], expected[~near_threshold], atol=1e-4, rtol=1e-4)
    assert 0 < (expected > 0).double().mean() < 1


def test_hook_mlp_in_without_a_module_name_is_refused_with_both_meanings(tmp_path: Path) -> None:
    folder = write_transcoder(tmp_path / "1-tc", "blocks.1.hook_mlp_in", None)
    with pytest.raises(RecipeError, match=r"two meanings.*blocks\.1\.mlp\.hook_in.*blocks\.1\.hook_resid_mid"):
        read_local_info(folder, "1-tc")
    (folder / "memicos.json").write_text('{"hook_name": "blocks.1.hook_resid_mid"}')
    assert read_local_info(folder, "1-tc").hook_name == "blocks.1.hook_resid_mid"
    (folder / "memicos.json").write_text('{"hook_name": "model.layers.1.mlp.input"}')
    assert read_local_info(folder, "1-tc").hook_name == "blocks.1.mlp.input"


@pytest.mark.parametrize(
    ("architecture", "hook", "module"),
    [
        ("gemma2", "hook_embed", "model.embed_tokens.output"),  # scaled by the root of the width, in the module
        ("gemma2", "blocks.1.hook_mlp_out", "model.layers.1.post_feedforward_layernorm.output"),
        ("gemma2", "blocks.1.attn.hook_z", "model.layers.1.self_attn.o_proj.input"),
        ("gemma3", "blocks.1.hook_mlp_out", "model.layers.1.post_feedforward_layernorm.output"),
        ("gemma3", "blocks.1.attn.hook_z", "model.layers.1.self_attn.o_proj.input"),
        ("gemma3", "blocks.1.pre_feedforward_layernorm.output", "model.layers.1.pre_feedforward_layernorm.output"),
        ("qwen2", "blocks.1.mlp.hook_in", "model.layers.1.post_attention_layernorm.output"),
        ("qwen2", "blocks.1.hook_mlp_out", "model.layers.1.mlp.output"),
        ("llama", "blocks.1.hook_resid_post", "model.layers.1.output"),
    ],
)
def test_hooks_of_published_saes_are_the_modules_that_they_were_trained_on(
    tiny: Any, architecture: str, hook: str, module: str
) -> None:
    model, hf = tiny(architecture)
    expected = plain_values(hf, [module.rpartition(".")[0]])[module]
    torch.testing.assert_close(capture(model, IDS, None, [hook])[hook], expected, atol=1e-5, rtol=1e-5)
    vars(model).pop("bridge", None)  # other tests check that none is created


def test_transcoders_of_gemma_scope_read_the_normalised_stream_without_the_norms_weights(tiny: Any) -> None:
    model, hf = tiny("gemma2")
    norm = "model.layers.1.pre_feedforward_layernorm"
    stream = plain_values(hf, [norm])[f"{norm}.input"].double()
    expected = stream / (stream.pow(2).mean(-1, keepdim=True) + hf.config.rms_norm_eps).sqrt()
    hook = "blocks.1.ln2.hook_normalized"
    torch.testing.assert_close(capture(model, IDS, None, [hook])[hook].double(), expected, atol=1e-5, rtol=1e-5)
    vars(model).pop("bridge", None)


@pytest.mark.parametrize("affine", [False, True])
def test_a_folder_of_gemma_scope_2_is_run_at_its_modules(tiny: Any, tmp_path: Path, affine: bool) -> None:
    """A transcoder as it is published: input, values and output by a run of the model, against plain torch."""
    model, hf = tiny("gemma3")
    weights = random_weights(1, 32, D_SAE)
    out = "model.layers.1.post_feedforward_layernorm"
    folder = write_gemma_scope_2(
        tmp_path / "transcoder" / "layer_1_width_16k_l0_big",
        weights,
        affine,
        type="transcoder",
        hf_hook_point_in=NORM,
        hf_hook_point_out=f"{out}.output",
    )
    source = load_source(folder, "1-tc")
    assert find_incompatible(model, [source]) == {}
    steered = hook_points.steering_module(model, source.steer_hook)[0]
    assert (steered.module, steered.side) == (model.hf.get_submodule(out), "output")
    hidden = plain_values(hf, [NORM.removesuffix(".output")])[NORM].double()
    w = {name: torch.from_numpy(value).double() for name, value in weights.tensors.items()}
    before = hidden @ w["W_enc"] + w["b_enc"]
    values = torch.where(before > w["threshold"], before, 0)
    near = (before - w["threshold"]).abs() < 1e-3
    captured = capture(model, IDS, None, [source.hook_name])[source.hook_name]
    actual = source.encode(captured).double()
    torch.testing.assert_close(actual[~near], (values * w["W_dec"].norm(dim=-1))[~near], atol=1e-4, rtol=1e-4)
    output = values @ w["W_dec"] + w["b_dec"] + (hidden @ w["W_skip"].T if affine else 0)
    torch.testing.assert_close(source.reconstruct(captured).double(), output, atol=1e-3, rtol=1e-3)
