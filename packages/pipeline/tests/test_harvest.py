"""Harvested activations: their files, and the work folder that they are kept in."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from memicos_engine.model.language_model import LanguageModel, load_model
from memicos_engine.sources.recipe import SourceRecipe
from memicos_engine.sources.source import Source
from memicos_engine.sources.source_loading import load_source
from memicos_pipeline import harvest as harvesting
from memicos_pipeline.dashboards.correlations import correlated_features
from memicos_pipeline.generate import generate
from memicos_pipeline.harvest import (
    BYTES_OF_ACTIVATION,
    ShardActivations,
    ShardShape,
    StoredActivations,
    run_shard,
    write_shard,
)
from memicos_pipeline.progress import Progress
from memicos_pipeline.work_folder import work_folder
from memicos_testing.models.small_hub import SmallHub, asked_at
from memicos_testing.models.small_model import small_model, small_sae, write_extras
from memicos_testing.models.tiny_generate import tiny_config
from memicos_testing.servers import in_thread
from safetensors.torch import load_file, save_file
from scipy import sparse

FEATURES = 70_000
"""More than 16 bits can count."""


@dataclass(frozen=True, kw_only=True)
class DenseSource(Source):
    """Every feature is active at every position."""

    def encode(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.new_ones((*hidden.shape[:-1], FEATURES))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def model(model_folder: Path) -> LanguageModel:
    return load_model("small", str(model_folder))


def dense_source(model: LanguageModel) -> DenseSource:
    recipe = SourceRecipe("blocks.1.hook_resid_post", True, 64, (0,))
    width = model.d_model
    return DenseSource(
        id="1-dense", recipe=recipe, layer=1, d_in=width, d_sae=FEATURES, d_out=width, architecture="dense"
    )


def test_more_features_than_16_bits_count_are_active(model: LanguageModel, tmp_path: Path) -> None:
    ids = np.array([[2, 17, 30], [2, 41, 5]], dtype=np.int32)
    write_shard(tmp_path / "1-dense", 0, run_shard(model, [dense_source(model)], ids, 8)["1-dense"])
    activations = StoredActivations(tmp_path / "1-dense", FEATURES, 2, 3)
    assert activations.counted_positions(np.arange(2)).tolist() == [False, True, True] * 2
    (matrix,) = activations.shards()
    assert np.diff(sparse.csr_matrix(matrix).indptr).tolist() == [0, FEATURES, FEATURES] * 2


def test_the_folder_depends_on_all_that_activations_depend_on(
    model: LanguageModel, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sae = small_sae(tmp_path / "saes" / "1-res", 1, 48)
    write_extras(sae, [0], None)
    ids = np.array([[2, 17, 30], [2, 41, 5]], dtype=np.int32)

    def name(hf: torch.nn.Module = model.hf, tokens: np.ndarray = ids) -> str:
        return work_folder(tmp_path, hf, [load_source(sae, "1-res")], tokens).name

    first = name()
    # the same model in another folder
    elsewhere = shutil.copytree(model_folder, tmp_path / "copy")
    assert name(load_model("other name", str(elsewhere)).hf) == first
    seen = {first, name(tokens=ids[:1]), name(tokens=ids.reshape(3, 2))}
    seen.add(name(load_model("small", str(model_folder), dtype="bfloat16").hf))
    weights = load_file(elsewhere / "model.safetensors")
    weights["model.norm.weight"][0] += 0.5
    save_file(weights, elsewhere / "model.safetensors", {"format": "pt"})
    seen.add(name(load_model("small", str(elsewhere)).hf))
    config = (model_folder / "config.json").read_text()
    (elsewhere / "config.json").write_text(config.replace('"rms_norm_eps": ', '"rms_norm_eps": 1'))
    shutil.copy(model_folder / "model.safetensors", elsewhere)
    seen.add(name(load_model("small", str(elsewhere)).hf))
    (sae / "probe.json").write_text("{}")
    assert name() == first
    write_extras(sae, [0, 1], None)
    seen.add(name())
    monkeypatch.setattr("memicos_pipeline.work_folder.FORMAT_VERSION", harvesting.FORMAT_VERSION + 1)
    seen.add(name())
    assert len(seen) == 8


def test_a_hub_model_that_was_updated_is_run_again(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = shutil.copytree(model_folder, tmp_path / "hub" / "owner" / "glass")
    write_extras(small_sae(tmp_path / "saes" / "1-res", 1, 48), [0], None)
    config = tiny_config(tmp_path, ["1-res"], 32, 8)
    config.model.folder = "owner/glass"
    hub = SmallHub(tmp_path / "hub")
    lines: list[str] = []
    with in_thread(hub.app()) as url, asked_at(url, tmp_path / "cache", monkeypatch):
        for _ in range(2):
            generate(config, Progress(lines.append, every_seconds=0), harvest_only=True)
        (unchanged,) = config.work.iterdir()
        before = next(StoredActivations(unchanged / "1-res", 48, 8, 32).shards())
        weights = load_file(repository / "model.safetensors")
        weights["model.layers.0.mlp.down_proj.weight"] *= 2
        save_file(weights, repository / "model.safetensors", {"format": "pt"})
        hub.commit = "f" * 40
        generate(config, Progress(lines.append, every_seconds=0), harvest_only=True)
    (updated,) = set(config.work.iterdir()) - {unchanged}
    after = next(StoredActivations(updated / "1-res", 48, 8, 32).shards())
    assert abs(before - after).max() > 0.01
    # the second run of the same revision had nothing left to do
    assert sum(line.startswith("activations: 8 of 8 contexts, ") for line in lines) == 2


def test_activations_are_read_in_parts(tmp_path: Path) -> None:
    """Columns of several shards, a block of features at a time, are those of one matrix."""
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((5 * 4, 9)) < 0.3, rng.random((5 * 4, 9)), 0).astype(np.float32)
    dense[:, 4] = 0
    shape = ShardShape(contexts=2)
    for number, (first, end) in enumerate(shape.ranges(5)):
        part = sparse.csc_matrix(dense[first * 4 : end * 4])
        counted = np.arange((end - first) * 4) % 4 > 0
        shard = ShardActivations(part.indptr.astype(np.int64), part.indices.astype(np.int32), part.data, counted)
        write_shard(tmp_path, number, shard)
    stored = StoredActivations(tmp_path, 9, 5, 4, shape)
    assert stored.counts.tolist() == (dense > 0).sum(axis=0).tolist() and stored.counted == 15
    blocks = list(stored.blocks(8 * BYTES_OF_ACTIVATION))
    assert len(blocks) > 3 and [index for block in blocks for index in block] == list(range(9))
    assert np.array_equal(np.concatenate([stored.columns(block).toarray() for block in blocks], axis=1), dense)
    assert np.array_equal(np.concatenate([matrix.toarray() for matrix in stored.shards()]), dense)
    sample, counted = stored.sample(2)
    assert np.array_equal(sample.toarray(), dense.reshape(5, 4, 9)[::2].reshape(-1, 9)) and counted == 9
    indices, pearson = correlated_features(stored.shards, 9, 20, 3, max_bytes=9 * 8 * 2)
    expected = np.corrcoef(np.delete(dense, 4, axis=1).T.astype(np.float64)) - 2 * np.eye(8)
    assert np.isnan(pearson[4]).all()
    assert np.allclose(np.delete(pearson, 4, axis=0), np.sort(expected, axis=1)[:, :-4:-1])
    assert 4 not in np.delete(indices, 4, axis=0)[:, 0]
