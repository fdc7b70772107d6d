"""A tiny corpus through glassllm and two SAEs; every number of the dataset is recomputed independently."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from memicos_dataset import read
from memicos_dataset.checks import rows as checks
from memicos_dataset.manifest import Manifest
from memicos_dataset.read import contexts, explanations, features, read_manifest, verify
from memicos_pipeline.config import ConfigError, GenerateConfig
from memicos_pipeline.generate import generate
from memicos_pipeline.progress import Progress
from memicos_pipeline.work_folder import LOCK_NAME
from memicos_testing.models.small_model import small_model, small_sae, write_extras
from memicos_testing.models.tiny_generate import tiny_config
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

SOURCES = {"1-res": 1, "2-res": 2}
WIDTH, SIZE, COUNT = 48, 32, 24


@dataclass
class Made:
    config: GenerateConfig
    manifest: Manifest
    ids: np.ndarray
    values: dict[str, np.ndarray]
    """Dense activations (N, T, F), 0 where the recipe leaves a position out."""
    saes: dict[str, dict[str, np.ndarray]]
    model: Any


@pytest.fixture(scope="module")
def generated_dataset(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("generate")
    small_model(folder / "model")
    for name, layer in SOURCES.items():
        small_sae(folder / "saes" / name, layer, WIDTH, seed=layer)
        write_extras(folder / "saes" / name, [0], None)
    config = tiny_config(folder, list(SOURCES), SIZE, COUNT)
    generate(config, lambda line: None)
    manifest = read_manifest(config.out)
    verify(config.out, manifest)
    ids = np.concatenate([np.array(batch.column("token_ids").to_pylist()) for batch in contexts(config.out, manifest)])
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    with torch.inference_mode():
        states = model(torch.tensor(ids), output_hidden_states=True).hidden_states
    values, saes = {}, {}
    for name, layer in SOURCES.items():
        sae = {k: v.float().numpy() for k, v in load_file(folder / "saes" / name / "sae_weights.safetensors").items()}
        before = states[layer + 1].numpy() @ sae["W_enc"] + sae["b_enc"]
        values[name] = np.maximum(before, 0) * (before > sae["threshold"])
        values[name][:, 0] = 0
        saes[name] = sae
    return Made(config, manifest, ids, values, saes, model)


def rows_of(generated_dataset: Made, name: str) -> list[dict[str, Any]]:
    (source,) = [source for source in generated_dataset.manifest.source_set.sources if source.id == name]
    return [row for batch in features(generated_dataset.config.out, source) for row in batch.to_pylist()]


@pytest.mark.parametrize("name", SOURCES)
def test_statistics(generated_dataset: Made, name: str) -> None:
    rows = rows_of(generated_dataset, name)
    assert [row["index"] for row in rows] == list(range(WIDTH))
    for row in rows:
        values = generated_dataset.values[name][..., row["index"]]
        active = values[values > 0]
        assert row["active_tokens"] == len(active)
        assert row["density"] == pytest.approx(len(active) / (COUNT * (SIZE - 1)), rel=1e-3)
        if not len(active):
            assert row["max_activation"] == 0 and row["example_groups"] == []
            continue
        top = active.max()
        assert row["max_activation"] == pytest.approx(top, rel=1e-3)
        counts = [((active > low) & (active <= high)).sum() for low, high in _edges(top, 5)]
        assert np.allclose(row["quantile_shares"], np.array(counts) / len(active), atol=1.5 / len(active))
        histogram = np.bincount(np.minimum((active / top * 50).astype(int), 49), minlength=50)
        assert sum(row["activation_histogram"]) == len(active)
        assert np.abs(np.cumsum(row["activation_histogram"]) - np.cumsum(histogram)).max() <= 1


def _edges(top: float, groups: int) -> list[tuple[float, float]]:
    return [(top * i / groups, top * (i + 1) / groups) for i in range(groups)]


@pytest.mark.parametrize("name", SOURCES)
def test_examples(generated_dataset: Made, name: str) -> None:
    for row in rows_of(generated_dataset, name):
        values = generated_dataset.values[name][..., row["index"]]
        peaks = []
        for group, context, position, positions, activation_values in zip(
            row["example_groups"],
            row["example_contexts"],
            row["example_positions"],
            row["value_positions"],
            row["values"],
            strict=True,
        ):
            dense = np.zeros(SIZE)
            dense[positions] = activation_values
            assert np.allclose(dense, values[context], rtol=1e-3, atol=1e-3)
            low, high = (0, np.inf) if group == 0 else _edges(values.max(), 5)[group - 1]
            assert low * (1 - 1e-3) < values[context, position] <= high * (1 + 1e-3)
            if group == 0:
                peaks.append(values[context, position])
        assert peaks == sorted(peaks, reverse=True)
        tops = [c for g, c in zip(row["example_groups"], row["example_contexts"], strict=True) if g == 0]
        assert len(tops) == len(set(tops)) <= 12
        best = np.sort(values.max(1))[::-1]
        # texts of the corpus repeat: only repetitions may be left out
        assert not peaks or peaks[0] == pytest.approx(best[0], rel=1e-3)


@pytest.mark.parametrize("name", SOURCES)
def test_directions(generated_dataset: Made, name: str) -> None:
    decoder = generated_dataset.saes[name]["W_dec"]
    decoder = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    gain = generated_dataset.model.model.norm.weight.detach().numpy()
    effects = generated_dataset.saes[name]["W_dec"] @ (
        gain[:, None] * generated_dataset.model.lm_head.weight.detach().numpy().T
    )
    cosines = decoder @ decoder.T - 2 * np.eye(WIDTH)
    flat = generated_dataset.values[name][:, 1:].reshape(-1, WIDTH)
    for row in rows_of(generated_dataset, name):
        index = row["index"]
        for sign, ids, logit_values in (
            (1, row["positive_token_ids"], row["positive_logits"]),
            (-1, row["negative_token_ids"], row["negative_logits"]),
        ):
            assert np.allclose(effects[index][ids], logit_values, rtol=1e-3, atol=1e-4)
            assert np.allclose(
                np.sort(sign * effects[index])[::-1][:10], sign * np.array(logit_values), rtol=1e-3, atol=1e-4
            )
        assert np.allclose(np.sort(cosines[index])[::-1][:10], row["neighbour_cosines"], rtol=1e-3, atol=1e-3)
        assert index not in row["neighbour_indices"]
        for neighbour, pearson in zip(row["correlated_indices"], row["correlated_pearson"], strict=True):
            assert np.corrcoef(flat[:, index], flat[:, neighbour])[0, 1] == pytest.approx(pearson, abs=2e-3)


def test_every_live_feature_is_explained(generated_dataset: Made) -> None:
    for source in generated_dataset.manifest.source_set.sources:
        explanation_rows = [
            row for batch in explanations(generated_dataset.config.out, source) for row in batch.to_pylist()
        ]
        assert all(
            row["method"] == "token-statistics" and row["model"] is None and row["description"]
            for row in explanation_rows
        )
        live = {row["index"] for row in rows_of(generated_dataset, source.id) if row["active_tokens"]}
        assert live <= {row["index"] for row in explanation_rows}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "att"}, "source_set.sources: source '1-res' does not belong to set 'att'"),
        ({"sources": ["2-res", "1-res", "3-res"]}, "cfg.json is missing"),
    ],
)
def test_sources_that_do_not_fit_are_refused_before_the_harvest(
    generated_dataset: Made, change: dict[str, Any], problem: str
) -> None:
    config = generated_dataset.config.model_copy(
        update={"source_set": generated_dataset.config.source_set.model_copy(update=change)}
    )
    with pytest.raises(ConfigError, match=problem):
        generate(config, lambda line: None)


def test_a_dataset_can_be_imported(generated_dataset: Made) -> None:
    """Every rule that the importer checks holds."""
    manifest, out = generated_dataset.manifest, generated_dataset.config.out
    checks.check_manifest(out, manifest)
    documents, vocabulary = checks.DocumentCheck(manifest), checks.VocabularyCheck()
    for batch in read.document_batches(out, manifest):
        documents.check(batch)
    for batch in read.vocabulary_batches(out, manifest):
        vocabulary.check(batch)
    contexts = checks.ContextCheck(manifest, documents.numbers, vocabulary.token_ids)
    for batch in read.context_batches(out, manifest):
        contexts.check(batch)
    for source in manifest.source_set.sources:
        features = checks.FeatureCheck(source, contexts.lengths, vocabulary.token_ids)
        for batch in read.feature_batches(out, source):
            features.check(batch)
        for batch in read.explanation_batches(out, source):
            checks.check_explanations(batch, features.indices)


def test_a_repeated_run_gives_the_same_bytes(generated_dataset: Made) -> None:
    before = generated_dataset.manifest.model_dump_json()
    for record in generated_dataset.config.work.glob("complete-*"):
        record.unlink()
    generate(generated_dataset.config, lambda line: None)
    assert read_manifest(generated_dataset.config.out).model_dump_json() == before


def test_nothing_is_loaded_where_the_dataset_is_complete(
    generated_dataset: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another text, a changed file of the dataset, or other weights are work to do."""
    folder = tmp_path / "copy"
    shutil.copytree(generated_dataset.config.out.parent, folder)
    config = tiny_config(folder, list(SOURCES), SIZE, COUNT)
    generate(config, lambda line: None)
    lines: list[str] = []
    monkeypatch.setattr("memicos_pipeline.preparation.load_model", lambda *_: pytest.fail("the model is loaded"))
    generate(config, lines.append)
    assert lines == [f"{config.out}: is complete, and made of the same inputs; nothing to do"]
    weights = folder / "saes" / "1-res" / "sae_weights.safetensors"
    for path in (config.out / "corpus" / "vocabulary.parquet", weights, Path(config.corpus.file)):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(pytest.fail.Exception, match="the model is loaded"):
            generate(config, lines.append)
        path.write_bytes(content)
    generate(config, lines.append)


def test_a_second_run_that_writes_the_same_dataset_is_refused(generated_dataset: Made, tmp_path: Path) -> None:
    """Also from another work folder."""
    out = tmp_path / "dataset"
    config = generated_dataset.config.model_copy(update={"out": out, "work": tmp_path / "work"})
    with (
        FileLock(tmp_path / ".dataset.lock"),
        pytest.raises(ConfigError, match=f"another `memicos generate`, `score` or `explain` is writing {out}"),
    ):
        generate(config, lambda line: None)
    assert not out.exists() and not (tmp_path / "work").exists()


def test_a_second_run_in_a_work_folder_is_refused(generated_dataset: Made) -> None:
    (folder,) = [path for path in generated_dataset.config.work.iterdir() if path.is_dir()]
    for record in generated_dataset.config.work.glob("complete-*"):
        record.unlink()
    with (
        FileLock(folder / LOCK_NAME),
        pytest.raises(ConfigError, match=f"another `memicos generate` is using {folder}"),
    ):
        generate(generated_dataset.config, lambda line: None)
    generate(generated_dataset.config, lambda line: None)


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(generated_dataset: Made, tmp_path: Path) -> None:
    """The run is killed after its first shards; the next one runs the missing ones only."""
    source_set, execution = generated_dataset.config.source_set, generated_dataset.config.execution
    config = generated_dataset.config.model_copy(
        update={
            "work": tmp_path / "work",
            "out": tmp_path / "killed",
            "execution": execution.model_copy(update={"shard_contexts": 8, "batch_contexts": 8}),
        }
    )
    whole = config.model_copy(update={"work": tmp_path / "work-of-another", "out": tmp_path / "whole"})
    generate(whole, lambda line: None)

    class Killed(BaseException):
        pass

    def kill(line: str) -> None:
        if line.startswith("activations: 16 of 24 contexts"):
            assert "tokens/s" in line and "s left" in line
            raise Killed

    with pytest.raises(Killed):
        generate(config, Progress(kill, every_seconds=0))
    (work,) = [path for path in config.work.iterdir() if path.is_dir()]
    # a process that is killed while it writes leaves a partial file
    (work / source_set.sources[0] / "000001.1.partial").write_bytes(b"half")
    before = {path: path.stat().st_mtime_ns for path in work.glob("*/*.safetensors")}
    assert len(before) == 2
    generate(config, lambda line: None)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    files = [{e.path: e.sha256 for e in read_manifest(made.out).files()} for made in (config, whole)]
    assert files[0] == files[1]
    # three shards instead of one, and the same batches
    rows = [
        [row for batch in features(folder, source) for row in batch.to_pylist()]
        for folder in (config.out, generated_dataset.config.out)
        for source in read_manifest(folder).source_set.sources[:1]
    ]
    for one, other in zip(*rows, strict=True):
        assert one["active_tokens"] == other["active_tokens"]
        assert one["max_activation"] == pytest.approx(other["max_activation"], rel=1e-5)
