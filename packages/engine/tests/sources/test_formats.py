"""SAE formats of other libraries, written here without our readers: info, detection, values, errors."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memicos_engine.errors import RecipeError, SourceError
from memicos_engine.sources.formats import FORMATS
from memicos_engine.sources.formats.tensors import ARCHITECTURES
from memicos_engine.sources.recipe import RecipeOverrides
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_testing.models.foreign_saes import (
    LAYOUTS,
    K,
    Weights,
    encode,
    random_weights,
    write_dictionary_learning,
    write_gemma_scope,
    write_openai,
    write_saelens,
    write_sparsify,
    write_tensors,
)
from safetensors.numpy import load_file, save_file

D_IN, D_SAE, LAYER = 32, 48, 5
DICT_CLASSES = {
    "AutoEncoder": ("standard", lambda w, h: encode(w, h, "relu", centred=True)),
    "AutoEncoderNew": ("standard", lambda w, h: encode(w, h, "relu")),
    "GatedAutoEncoder": ("gated", lambda w, h: encode(w, h, "gated", centred=True)),
    "JumpReluAutoEncoder": ("jumprelu", lambda w, h: encode(w, h, "jump")),
    "AutoEncoderTopK": ("topk", lambda w, h: encode(w, h, "topk", centred=True)),
    "BatchTopKSAE": ("jumprelu", lambda w, h: encode(w, h, "jump", centred=True, threshold=0.7)),
    "MatryoshkaBatchTopKSAE": ("jumprelu", lambda w, h: encode(w, h, "jump", centred=True, threshold=0.7)),
}


@pytest.fixture
def weights() -> Weights:
    return random_weights(LAYER, D_IN, D_SAE)


def assert_equal(folder: Path, expected: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    source = load_source(folder, "5-some")
    hidden = np.random.default_rng(1).normal(size=(40, source.d_in)).astype(np.float32) * 3
    values, near_threshold = expected(hidden)
    encoded = source.encode(torch.tensor(hidden)).numpy()
    assert 0.02 < (values > 0).mean() < 0.98 and near_threshold.mean() < 0.05
    np.testing.assert_allclose(
        np.where(near_threshold, 0, encoded), np.where(near_threshold, 0, values), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_format_is_recognised_and_gives_the_values_of_its_library(
    name: str, weights: Weights, tmp_path: Path
) -> None:
    layout = LAYOUTS[name]
    folder = layout.write(tmp_path / "some", weights)
    facts = read_local_info(folder, "5-some")
    assert facts == read_local_info(folder, "5-some", name)
    assert (facts.layer, facts.d_in, facts.d_out, facts.d_sae) == (LAYER, D_IN, D_IN, D_SAE)
    assert facts.hook_name == "blocks.5.hook_resid_post" and facts.recipe.prepend_bos
    assert facts.recipe.context_size == layout.context_size
    assert facts.recipe.ignored_positions == (0,)
    assert facts.recipe.hook_name_out == (facts.hook_name if layout.is_transcoder else None)
    source = load_source(folder, "5-some")
    assert vars(source) | vars(facts) == vars(source)
    stored_bytes = sum(tensor.numel() * 4 for tensor in source.sae.parameters())
    assert (
        stored_bytes <= facts.nbytes("float32") <= 1.1 * stored_bytes
        and facts.nbytes("bfloat16") == facts.nbytes("float32") / 2
    )
    assert_equal(folder, lambda hidden: layout.encode(weights, hidden))


def test_every_format_is_tested_and_documented() -> None:
    # test_vectors.py tests vectors, which have no decoder
    assert {*LAYOUTS, "vectors"} == set(FORMATS)
    document = (Path(__file__).parents[4] / "docs" / "own-sae.md").read_text()
    names = [*FORMATS, *(field.name for field in fields(RecipeOverrides)), *ARCHITECTURES]
    assert [name for name in names if f"`{name}`" not in document] == []


@pytest.mark.parametrize("dict_class", DICT_CLASSES)
def test_every_class_of_dictionary_learning(dict_class: str, weights: Weights, tmp_path: Path) -> None:
    folder = write_dictionary_learning(tmp_path / "some", weights, dict_class)
    architecture, expected = DICT_CLASSES[dict_class]
    assert read_local_info(folder, "5-some").architecture == architecture
    assert_equal(folder, lambda hidden: expected(weights, hidden))


def test_openai_without_top_k_is_not_normalised(weights: Weights, tmp_path: Path) -> None:
    folder = write_openai(tmp_path / "some", weights, "ReLU")
    assert_equal(folder, lambda hidden: encode(weights, hidden, "relu", centred=True))


@pytest.mark.parametrize(
    ("architecture", "options", "format_options"),
    [
        ("jumprelu", {}, {"kind": "jump"}),
        ("gated", {"apply_b_dec_to_input": True}, {"kind": "gated", "centred": True}),
        ("topk", {"k": K, "normalize_activations": "layer_norm"}, {"kind": "topk", "normalized": True}),
    ],
)
def test_named_tensors(
    architecture: str, options: dict[str, Any], format_options: dict[str, Any], weights: Weights, tmp_path: Path
) -> None:
    folder = write_tensors(tmp_path / "some", weights, architecture, **options)
    assert_equal(folder, lambda hidden: encode(weights, hidden, **format_options))


def test_biases_left_out_are_zero(weights: Weights, tmp_path: Path) -> None:
    folder = write_tensors(tmp_path / "some", weights)
    content = json.loads((folder / "memicos.json").read_text())
    del content["weights"]["tensors"]["b_enc"], content["weights"]["tensors"]["b_dec"]
    (folder / "memicos.json").write_text(json.dumps(content))
    weights.tensors["b_enc"][:] = 0
    assert_equal(folder, lambda hidden: encode(weights, hidden, "relu"))


@pytest.mark.parametrize("rescaled", [True, False])
def test_a_training_checkpoint_of_saelens_is_used_with_its_threshold(
    rescaled: bool, weights: Weights, tmp_path: Path
) -> None:
    folder = write_saelens(tmp_path / "some", weights)
    config = json.loads((folder / "cfg.json").read_text())
    own = {"architecture": "matryoshka_batchtopk", "rescale_acts_by_decoder_norm": rescaled, "k": 8}
    (folder / "cfg.json").write_text(json.dumps(config | own))
    stored = load_file(folder / "sae_weights.safetensors")
    del stored["threshold"]
    save_file(stored | {"topk_threshold": np.array(0.9)}, folder / "sae_weights.safetensors")
    # rescaled, the threshold is for values times the length of their direction
    least = 0.9 / weights.lengths if rescaled else 0.9
    assert_equal(folder, lambda hidden: encode(weights, hidden, "jump", threshold=least))


def test_the_training_norm_is_folded_into_the_weights(weights: Weights, tmp_path: Path) -> None:
    folder = write_tensors(tmp_path / "some", weights, normalize_activations="expected_average_only_in")
    with pytest.raises(RecipeError, match=r'the factor is not given .*\{"norm_scaling_factor": 0.31\}'):
        read_local_info(folder, "5-some")
    content = json.loads((folder / "memicos.json").read_text())
    (folder / "memicos.json").write_text(json.dumps(content | {"norm_scaling_factor": 0.25}))

    def expected(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # directions are in units of the training activations, which were scaled by 1/4
        values, near_threshold = encode(weights, hidden * 0.25, "relu")
        return values * 4, near_threshold

    assert_equal(folder, expected)


def test_gemma_scope_by_the_path_of_its_repository(weights: Weights, tmp_path: Path) -> None:
    for repo, hook, out in (
        ("gemma-scope-2b-pt-res", "blocks.5.hook_resid_post", None),
        ("gemma-scope-9b-pt-att", "blocks.5.attn.hook_z", None),
        ("gemma-scope-2b-pt-mlp", "blocks.5.hook_mlp_out", None),
        ("gemma-scope-2b-pt-transcoders", "blocks.5.ln2.hook_normalized", "blocks.5.hook_mlp_out"),
    ):
        folder = write_gemma_scope(tmp_path / repo / "layer_5/width_16k/average_l0_72", weights)
        (folder / "memicos.json").unlink()
        facts = read_local_info(folder, "5-some")
        assert (facts.hook_name, facts.recipe.hook_name_out) == (hook, out)
        assert facts.architecture == ("jumprelu_transcoder" if out else "jumprelu")
    cached = write_gemma_scope(
        tmp_path / "models--google--gemma-scope-2b-pt-res/snapshots/0a1b/layer_7/width_16k", weights
    )
    (cached / "memicos.json").unlink()
    assert read_local_info(cached, "7-some").hook_name == "blocks.7.hook_resid_post"


@pytest.mark.parametrize(
    ("module", "hook"),
    [
        ("layers.5", "blocks.5.hook_resid_post"),
        ("h.3", "blocks.3.hook_resid_post"),
        ("layers.5.mlp", "blocks.5.mlp.hook_out"),
        ("embed_tokens", "hook_embed"),
    ],
)
def test_sparsify_by_the_name_of_its_module(module: str, hook: str, weights: Weights, tmp_path: Path) -> None:
    folder = write_sparsify(tmp_path, weights)
    assert read_local_info(folder.rename(tmp_path / module), "5-some").hook_name == hook


def test_memicos_json_overrides_the_files(weights: Weights, tmp_path: Path) -> None:
    folder = write_dictionary_learning(tmp_path / "some", weights)
    content = {
        "hook_name": "blocks.2.hook_mlp_out",
        "prepend_bos": False,
        "context_size": 99,
        "norm_cut": 12,
        "ignored_positions": [0, 3],
    }
    (folder / "memicos.json").write_text(json.dumps(content))
    recipe = read_local_info(folder, "2-some").recipe
    assert (recipe.hook_name, recipe.prepend_bos, recipe.context_size) == ("blocks.2.hook_mlp_out", False, 99)
    assert (recipe.norm_cut, recipe.ignored_positions) == (12, (0, 3))


def test_a_missing_value_is_refused_with_the_line_to_add(weights: Weights, tmp_path: Path) -> None:
    folder = write_openai(tmp_path / "openai", weights)
    (folder / "memicos.json").unlink()
    with pytest.raises(RecipeError) as error:
        read_local_info(folder, "5-some")
    assert "missing hook_name and prepend_bos and context_size" in str(error.value)
    assert '{"hook_name": "blocks.5.hook_resid_post", "prepend_bos": true, "context_size": 128}' in str(error.value)
    folder = write_gemma_scope(tmp_path / "gemma", weights)
    (folder / "memicos.json").unlink()
    with pytest.raises(RecipeError, match=r"missing hook_name\. Write a memicos"):
        read_local_info(folder, "5-some")
    folder = write_dictionary_learning(tmp_path / "dictionary", weights)
    config = json.loads((folder / "config.json").read_text())
    config["trainer"]["submodule_name"] = "resid_posterior"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RecipeError, match="missing hook_name"):
        read_local_info(folder, "5-some")
    folder = write_sparsify(tmp_path / "run", weights)
    with pytest.raises(RecipeError, match="missing hook_name"):
        read_local_info(folder.rename(tmp_path / "layers.5.router"), "5-some")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a JSON object"),
        ("{", "expected a JSON object"),
        ('{"hook": "blocks.1.hook_resid_post"}', 'expected no "hook"; there are set, hook_name'),
        ('{"prepend_bos": 1}', 'expected true or false as "prepend_bos", not 1'),
        ('{"context_size": 0}', 'expected a whole number from 1 to 2147483647 as "context_size"'),
        ('{"ignored_positions": [-1]}', 'expected a list of positions as "ignored_positions"'),
        ('{"set": "a/b"}', "expected a name of letters, digits"),
        ('{"norm_cut": -1}', 'expected a number above 0 as "norm_cut"'),
    ],
)
def test_an_invalid_memicos_json_is_refused(content: str, message: str, weights: Weights, tmp_path: Path) -> None:
    folder = write_saelens(tmp_path / "some", weights)
    (folder / "memicos.json").write_text(content)
    with pytest.raises(RecipeError) as error:
        read_local_info(folder, "5-some")
    assert message in str(error.value) and "memicos.json" in str(error.value)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"file": "../model.safetensors"}, 'the name of a .safetensors as "file"'),
        ({"architecture": "linear"}, "one of standard, topk, jumprelu"),
        ({"tensors": {"W_enc": "enc.weight"}}, 'W_dec among the "tensors"'),
        ({"transposed": ["W"]}, 'some of the "tensors" as "transposed"'),
        ({"architecture": "topk"}, 'a whole number above 0 as "k"'),
        ({"colour": "red"}, 'no "colour"'),
    ],
)
def test_an_invalid_tensor_mapping_is_refused(
    mapping: dict[str, Any], message: str, weights: Weights, tmp_path: Path
) -> None:
    folder = write_tensors(tmp_path / "some", weights, **{})
    content = json.loads((folder / "memicos.json").read_text())
    (folder / "memicos.json").write_text(json.dumps(content | {"weights": content["weights"] | mapping}))
    with pytest.raises(RecipeError) as error:
        read_local_info(folder, "5-some")
    assert message in str(error.value)


def test_a_tensor_that_is_not_in_the_file_is_named(weights: Weights, tmp_path: Path) -> None:
    folder = write_tensors(tmp_path / "some", weights)
    text = (folder / "memicos.json").read_text()
    (folder / "memicos.json").write_text(text.replace("enc.weight", "encoder.weight"))
    with pytest.raises(SourceError, match=r"the weights have no encoder\.weight, only dec, dec\.bias, enc"):
        read_local_info(folder, "5-some")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_truncated_file_is_refused_before_its_weights_are_read(name: str, weights: Weights, tmp_path: Path) -> None:
    folder = LAYOUTS[name].write(tmp_path / "some", weights)
    (file,) = [file for file in folder.iterdir() if file.suffix in (".safetensors", ".npz", ".pt", ".pth")]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SourceError, match="is not a source that can be loaded"):
        read_local_info(folder, "5-some")


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_that_are_not_finite_are_refused(name: str, tmp_path: Path) -> None:
    weights = random_weights(LAYER, D_IN, D_SAE)
    weights.tensors["W_dec"][3, 4] = np.nan
    folder = LAYOUTS[name].write(tmp_path / "some", weights)
    with pytest.raises(SourceError, match="has numbers that are not finite in float32"):
        load_source(folder, "5-some")


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_code_in_a_pickle_is_never_run(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the environment tells torch to load pickles."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "it ran"
    openai = write_openai(tmp_path / "openai", weights)
    torch.save({"encoder.weight": Harmful(marker)}, openai / "5.pt")
    dictionary = write_dictionary_learning(tmp_path / "dictionary", weights)
    (dictionary / "ae.pt").write_bytes(pickle.dumps(Harmful(marker)))
    gemma = write_gemma_scope(tmp_path / "gemma", weights)
    np.savez(gemma / "params.npz", W_enc=np.array([Harmful(marker)], dtype=object))
    for folder in (openai, dictionary, gemma):
        for read in (read_local_info, load_source):
            with pytest.raises(SourceError, match="pickle"):
                read(folder, "5-some")
    assert not marker.exists()
    # the test can fail: unpickling runs the code
    pickle.loads((dictionary / "ae.pt").read_bytes())  # noqa: S301
    assert marker.exists()


def test_an_architecture_unknown_to_saelens_is_refused(weights: Weights, tmp_path: Path) -> None:
    folder = write_sparsify(tmp_path / "sparsify", weights)
    config = json.loads((folder / "cfg.json").read_text())
    for name, message in (("transcode", "transcode is set"), ("skip_connection", "skip_connection is set")):
        (folder / "cfg.json").write_text(json.dumps(config | {name: True}))
        with pytest.raises(SourceError, match=message):
            read_local_info(folder, "5-some")
    (folder / "cfg.json").write_text(json.dumps(config | {"activation": "groupmax"}))
    with pytest.raises(SourceError, match="activation is groupmax"):
        read_local_info(folder, "5-some")
    folder = write_dictionary_learning(tmp_path / "dictionary", weights)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("BatchTopKSAE", "GroupedAutoEncoder"))
    with pytest.raises(SourceError, match="dict_class is GroupedAutoEncoder; there are AutoEncoder"):
        read_local_info(folder, "5-some")
    folder = write_openai(tmp_path / "openai", weights, "Identity")
    with pytest.raises(SourceError, match="activation is Identity"):
        read_local_info(folder, "5-some")
    folder = write_saelens(tmp_path / "saelens", weights)
    text = (folder / "cfg.json").read_text()
    (folder / "cfg.json").write_text(text.replace("jumprelu", "crosscoder"))
    with pytest.raises(SourceError, match="architecture is crosscoder; SAELens has standard"):
        read_local_info(folder, "5-some")


def test_a_folder_without_a_source_names_the_formats(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"holds no source .*gemma-scope: params.npz; gemma-scope-2: params.safetensors; .*: ae.pt"
    ):
        read_local_info(tmp_path, "5-some")
    folder = write_saelens(tmp_path / "some", weights)
    with pytest.raises(SourceError, match=r"holds no source \(gemma-scope: params.npz\)"):
        read_local_info(folder, "5-some", "gemma-scope")
    two = write_openai(tmp_path / "two", weights)
    shutil.copy(two / "5.pt", two / "6.pt")
    with pytest.raises(SourceError, match="has 2 files of weights; put each source"):
        read_local_info(two, "5-some")
