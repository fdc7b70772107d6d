"""SAELens' directory: each loader runs on files as its authors publish them, served by a small hub, and its values are
compared with numpy; what would be wrong is refused before its weights are fetched."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from memicos_engine.errors import LoadError, SourceError
from memicos_engine.sources.config_checks import CROSS_LAYER
from memicos_engine.sources.saelens_registry import release_saes
from memicos_engine.sources.saelens_support import (
    DEFAULT_LOADER,
    MISSING_NORM_FACTOR,
    SUPPORT_BY_LOADER,
    entry_support,
)
from memicos_engine.sources.source_candidates import SourceCandidate
from memicos_engine.sources.source_loading import load_pretrained, read_pretrained_info
from memicos_engine.sources.source_selection import select_sources
from memicos_engine.sources.source_specs import SourceSelection
from memicos_testing.models.foreign_saes import Weights, random_weights
from memicos_testing.models.saelens_loaders import (
    D_IN,
    D_SAE,
    LAYER,
    LOADER_CASES,
    NORM_HOOK,
    LoaderCase,
    write_mwhanna,
    write_sae_lens,
)
from memicos_testing.models.small_hub import SmallHub, asked_at
from memicos_testing.servers import in_thread
from sae_lens.loading import pretrained_sae_loaders
from sae_lens.loading.pretrained_sae_loaders import NAMED_PRETRAINED_SAE_LOADERS
from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup, get_pretrained_saes_directory

RELEASE = "synthetic"
DIRECTORY = get_pretrained_saes_directory()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    hub = SmallHub(tmp_path / "hub")
    with in_thread(hub.app()) as url, asked_at(url, tmp_path / "cache", monkeypatch):
        yield hub


def publish(hub: SmallHub, case: LoaderCase, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Put an SAE on the hub and a release of it into SAELens' directory. Returns the weights."""
    weights = random_weights(LAYER, D_IN, D_SAE)
    case.write(hub.folder / case.repo / case.path, weights)
    sizes: Any = {"d_in": D_IN, "d_sae": D_SAE} | ({"d_out": D_IN} if case.hook_out else {})
    entry = PretrainedSAELookup(
        release=RELEASE,
        repo_id=case.repo,
        model="some",
        conversion_func=None if case.loader == DEFAULT_LOADER else case.loader,
        saes_map={"some": case.path},
        expected_var_explained={"some": 1.0},
        expected_l0={"some": 0.0},
        neuronpedia_id={},
        norm_scaling_factor={} if case.factor is None else {"some": case.factor},
        config_overrides=sizes if case.sizes else None,
    )
    monkeypatch.setitem(DIRECTORY, RELEASE, entry)
    return weights


@pytest.mark.parametrize("name", LOADER_CASES)
def test_each_loader_gives_the_values_of_its_authors(name: str, hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    case = LOADER_CASES[name]
    weights = publish(hub, case, monkeypatch)
    info = read_pretrained_info(RELEASE, "some", "5-some")
    assert (info.hook_name, info.recipe.hook_name_out) == (case.hook, case.hook_out)
    assert (info.d_in, info.d_sae, info.d_out) == (D_IN, D_SAE, D_IN) and info.recipe.prepend_bos
    source = load_pretrained(RELEASE, "some", "5-some")
    assert vars(source) | vars(info) == vars(source)
    hidden = np.random.default_rng(1).normal(size=(40, D_IN)).astype(np.float32) * (3 / (case.factor or 1))
    expected, near_threshold = case.encode(weights, hidden)
    actual = source.encode(torch.from_numpy(hidden)).numpy()
    assert 0.02 < (expected > 0).mean() < 0.98 and near_threshold.mean() < 0.05
    np.testing.assert_allclose(
        np.where(near_threshold, 0, actual), np.where(near_threshold, 0, expected), rtol=1e-4, atol=1e-4
    )
    rows = weights.W_dec / weights.lengths[:, None] if info.unit_directions else weights.W_dec
    np.testing.assert_allclose(source.decoder_rows().numpy(), rows, rtol=1e-4, atol=1e-5)
    bias = weights.b_dec / (case.factor or 1)
    reconstruction = actual @ rows + bias + (hidden @ weights.W_skip.T if case.skip else 0)
    np.testing.assert_allclose(
        source.reconstruct(torch.from_numpy(hidden)).numpy(), reconstruction, rtol=1e-3, atol=1e-3
    )


def test_every_loader_of_saelens_has_a_decision_and_a_case() -> None:
    assert set(SUPPORT_BY_LOADER) == set(NAMED_PRETRAINED_SAE_LOADERS)
    refused = {name for name, support in SUPPORT_BY_LOADER.items() if support.status == "refused"}
    assert refused == {"sparsify", "temporal", "mntss_clt_layer_transcoder"}
    assert {case.loader for case in LOADER_CASES.values()} == set(NAMED_PRETRAINED_SAE_LOADERS) - refused


def test_what_is_refused_is_refused_before_anything_is_fetched(hub: SmallHub) -> None:
    refused = {}
    for entry in DIRECTORY.values():
        for sae_id, support in entry_support(entry).items():
            if support.status == "refused":
                refused[entry.release, sae_id] = support.reason
    assert CROSS_LAYER in refused.values()
    for (release, sae_id), reason in refused.items():
        for read in (read_pretrained_info, load_pretrained):
            with pytest.raises(SourceError) as caught:
                read(release, sae_id, "0-x")
            assert reason in str(caught.value)
    assert hub.seen == []


@pytest.mark.parametrize("loader", sorted(name for name, s in SUPPORT_BY_LOADER.items() if s.status == "served"))
def test_every_sae_that_is_served_has_a_hook_that_is_run(
    loader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each SAE of the directory, from its path alone: no file of its own is read."""
    hooks = ("hook_resid_post", "hook_mlp_out", "attn.hook_z", "ln2.hook_normalized", "mlp.hook_in")
    hooks += ("pre_feedforward_layernorm.output",)
    serve_nothing_but_sizes(tmp_path, monkeypatch)
    served = 0
    for entry in DIRECTORY.values():
        if (entry.conversion_func or DEFAULT_LOADER) != loader:
            continue
        for sae_id, support in entry_support(entry).items():
            if support.status == "served":
                (published,) = release_saes(entry.release, sae_id)
                info = read_pretrained_info(entry.release, sae_id, published.source_id)
                layer = "e" if info.hook_name == "hook_embed" else str(info.layer)
                assert published.source_id.startswith(f"{layer}-"), (entry.release, sae_id)
                assert info.hook_name == "hook_embed" or info.hook_name.split(".", 2)[2] in hooks, (entry, sae_id)
                served += 1
    assert served


def serve_nothing_but_sizes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the hub only the files exist that give the sizes of circuit-tracer's transcoders, and headers of weights."""
    write_mwhanna(folder / "layer_5.safetensors", random_weights(LAYER, D_IN, D_SAE))

    def download(repo: str, filename: str, **_options: Any) -> str:
        if "/" in filename or not (folder / filename).exists():
            raise LocalEntryNotFoundError("the hub is not reached in this test")
        return str(folder / filename)

    shapes = {"w_enc": [D_IN, D_SAE], "w_dec": [D_SAE, D_IN]}
    monkeypatch.setattr(pretrained_sae_loaders, "hf_hub_download", download)
    monkeypatch.setattr(pretrained_sae_loaders, "get_safetensors_tensor_shapes", lambda *_args: shapes)


@pytest.mark.parametrize(
    ("name", "message"), [("llama_scope", MISSING_NORM_FACTOR), ("llama_scope_r1_distill", MISSING_NORM_FACTOR)]
)
def test_a_missing_norm_factor_is_refused(
    name: str, message: str, hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, replace(LOADER_CASES[name], factor=None), monkeypatch)
    with pytest.raises(SourceError, match=message):
        load_pretrained(RELEASE, "some", "5-some")
    assert hub.seen == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize_activations": "expected_average_only_in"}, MISSING_NORM_FACTOR),
        ({"normalize_activations": "covariance_whitening"}, "trained on whitened activations"),
        ({"activation_fn_str": "tanh-relu"}, "its activation function is tanh-relu"),
        ({"architecture": "temporal"}, "temporal is not served"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": D_SAE + 1}}, f"its k is {D_SAE + 1}"),
    ],
)
def test_what_the_hub_decides_is_refused_before_the_weights_are_fetched(
    changes: dict[str, Any], message: str, hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = replace(LOADER_CASES["sae_lens"], write=lambda folder, w: write_sae_lens(folder, w, **changes))
    publish(hub, case, monkeypatch)
    with pytest.raises(SourceError, match=message):
        load_pretrained(RELEASE, "some", "5-some")
    assert not [path for path in hub.seen if path.endswith(".safetensors")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dict_class": "AutoEncoderNew"}, "its class is AutoEncoderNew; SAELens has AutoEncoder,"),
        ({"dict_class": "CrossCoder"}, "its class is CrossCoder"),
        ({"submodule_name": "mlp_out_layer_5"}, "trained on mlp_out_layer_5, and SAELens reads it at the residual"),
    ],
)
def test_a_dictionary_that_saelens_reads_wrongly_is_refused(
    changes: dict[str, Any], message: str, hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = LOADER_CASES["dictionary_learning_1"]
    publish(hub, case, monkeypatch)
    file = hub.folder / case.repo / case.path / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"trainer": content["trainer"] | changes}))
    with pytest.raises(SourceError, match=message):
        load_pretrained(RELEASE, "some", "5-some")
    assert not [path for path in hub.seen if path.endswith(".pt")]


def candidates(*sets: str) -> list[SourceCandidate]:
    return select_sources(SourceSelection(sets, ("some",)), lambda _step, _share: None).candidates


def test_every_sae_of_the_directory_has_an_id_with_its_layer() -> None:
    """The layer is checked where the path has it; ids are unique in a release."""
    total = 0
    for release, entry in DIRECTORY.items():
        ids = [candidate.id for candidate in candidates(f"saelens:{release}")]
        total += len(ids)
        assert len(ids) == len(set(ids)) == len(entry.saes_map)
        assert all(re.fullmatch(r"(\d+|e)-[\w.-]+", source_id) for source_id in ids), release
    assert total == sum(len(entry.saes_map) for entry in DIRECTORY.values())


@pytest.mark.parametrize(
    ("spec", "source_id"),
    [
        ("saelens:gpt2-small-res-jb/blocks.7.hook_resid_pre", "7-res-jb"),
        (
            "saelens:gemma-scope-2-4b-pt-transcoders-all/layer_10_width_16k_l0_big_affine",
            "10-gemma-scope-2-4b-pt-transcoders-all-width_16k_l0_big_affine",
        ),
        (
            "saelens:gemma-scope-2b-pt-res/layer_12/width_1m/average_l0_107",
            "12-gemma-scope-2b-pt-res-width_1m-average_l0_107",
        ),
        (
            "saelens:gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6",
            "e-gemma-scope-2b-pt-res-embedding-width_4k-average_l0_6",
        ),
        ("saelens:qwen-scope-3-1.7b-base-w32k-l50/layer3", "3-qwen-scope-3-1.7b-base-w32k-l50"),
        # its Neuronpedia id in the directory is that of another SAE, of layer 20
        (
            "saelens:gemma-scope-9b-pt-res/layer_2/width_16k/average_l0_8",
            "2-gemma-scope-9b-pt-res-width_16k-average_l0_8",
        ),
        ("saelens:gpt2-small-res-jb/blocks.11.hook_resid_post", "12-res-jb"),
    ],
)
def test_an_sae_without_a_neuronpedia_id_is_named_by_release(spec: str, source_id: str) -> None:
    (candidate,) = candidates(spec)
    assert candidate.id == source_id and candidate.repo and candidate.weights.startswith(f"hf:{candidate.repo}/")


def test_an_sae_is_loaded_by_its_release(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    case = LOADER_CASES["gemma_3 transcoder"]
    weights = publish(hub, case, monkeypatch)
    (candidate,) = candidates(f"saelens:{RELEASE}/some")
    info, source = candidate.read_info(), candidate.load()
    assert candidate.id == info.id == source.id and info.hook_name == NORM_HOOK
    hidden = np.random.default_rng(1).normal(size=(10, D_IN)).astype(np.float32) * 3
    expected, near = case.encode(weights, hidden)
    actual = source.encode(torch.from_numpy(hidden)).numpy()
    np.testing.assert_allclose(np.where(near, 0, actual), np.where(near, 0, expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("saelens:gpt2-small-res-jp", "no release gpt2-small-res-jp; similar: gpt2-small-res-jb"),
        ("saelens:gpt2-small-res-jb/blocks.99", "the release has no blocks.99, only blocks.0.hook_resid_pre"),
        ("saelens:gpt2-small-res-jb@saelens", "leave @saelens out"),
        ("saelens:", "there are a set's name, saelens:<release>"),
    ],
)
def test_an_unknown_release_is_refused_with_names_like_it(spec: str, message: str) -> None:
    (candidate,) = candidates(spec)
    assert isinstance(candidate.error, LoadError) and message in str(candidate.error)
