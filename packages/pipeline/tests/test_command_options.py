"""`memicos generate` by options alone: sources of every hook, and corpora of every format."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from memicos_dataset.read import features, read_manifest, verify
from memicos_engine.capture.capture import capture
from memicos_engine.model.language_model import load_model
from memicos_pipeline.command_options import merged_config
from memicos_pipeline.commands import generate
from memicos_pipeline.config import ConfigError
from memicos_pipeline.corpus.texts import CorpusError, read_texts
from memicos_testing.models.small_model import SAMPLE, random_sae, small_model, small_sae
from memicos_testing.models.vectors import random_vectors, write_vectors
from typer import Typer
from typer.testing import CliRunner

TEXT = " ".join(" ".join(SAMPLE.split(" ")[shift:]) for shift in range(0, 40, 7))
URL = "https://example.org/text"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command-options")
    small_model(folder / "model")
    (folder / "book.txt").write_text(TEXT)
    return folder


def run(*options: str) -> Any:
    app = Typer()
    app.command()(generate)
    return CliRunner().invoke(app, list(options))


def options(folder: Path, out: Path, sae: str) -> list[str]:
    return [
        "--model", str(folder / "model"), "--sae", sae, "--corpus", str(folder / "book.txt"), "--corpus-url", URL,
        "--corpus-license", "CC0-1.0", "--tokens", "300", "--context-size", "16", "--out", str(out), "--threads", "1",
    ]  # fmt: skip


@pytest.mark.parametrize("sae", ["path", "hook_z", "hook_mlp_out", "neurons", "vectors"])
def test_a_source_at_any_hook(folder: Path, tmp_path: Path, sae: str) -> None:
    """Counts, largest activations and logit effects are those of numpy on the captured activations."""
    model = load_model("small", str(folder / "model"))
    hooks = {
        "path": "blocks.1.hook_resid_post",
        "hook_z": "blocks.1.attn.hook_z",
        "hook_mlp_out": "blocks.1.hook_mlp_out",
        "neurons": "blocks.1.mlp.hook_post",
        "vectors": "blocks.1.hook_resid_mid",
    }
    source_folder = tmp_path / "saes" / "1-own"
    vectors, bias = random_vectors(24, model.d_model)
    if sae == "path":
        small_sae(source_folder, 1, 24)
    elif sae == "vectors":
        write_vectors(source_folder, hooks[sae], vectors, bias)
    elif sae != "neurons":
        width = {"hook_z": 128, "hook_mlp_out": model.d_model}[sae]
        hidden = capture(model, torch.tensor([[2, 5]]), None, [hooks[sae]])[hooks[sae]]
        random_sae(source_folder, hooks[sae], hidden.shape[-1] or width, 24)
    out = tmp_path / "out"
    result = run(*options(folder, out, "neurons" if sae == "neurons" else f"path:{source_folder}"))
    assert result.exit_code == 0, result.output
    manifest = read_manifest(out)
    verify(out, manifest)
    (collection,) = manifest.corpus.collections
    assert (collection.license, collection.url) == ("CC0-1.0", URL)
    assert manifest.execution is not None and manifest.execution.threads == 1
    (source,) = [source for source in manifest.source_set.sources if source.layer == 1]
    (contexts,) = manifest.corpus.context_files
    ids = torch.tensor(pq.read_table(out / contexts.path).column("token_ids").to_pylist())
    hidden = capture(model, ids, None, [hooks[sae]])[hooks[sae]][:, int(source.recipe.prepend_bos) :].flatten(0, 1)
    if sae == "neurons":
        values, weights = hidden.numpy(), np.eye(hidden.shape[1], dtype=np.float32)
    elif sae == "vectors":
        values = np.maximum(hidden.numpy() @ vectors.T + bias, 0)
        weights = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    else:
        from memicos_engine.sources.source_loading import load_source

        loaded = load_source(source_folder, "1-own")
        with torch.inference_mode():
            values, weights = loaded.encode(hidden).numpy(), loaded.sae.W_dec.numpy()
    block: Any = model.blocks[1]
    if sae == "hook_z":
        weights = weights @ block.self_attn.o_proj.weight.detach().numpy().T
    if sae == "neurons":
        weights = weights @ block.mlp.down_proj.weight.detach().numpy().T
    # heads and residual stream of this model have the same width
    assert ("through the layer's output matrix" in source.logit_effect) == (sae in ("hook_z", "neurons"))
    hf: Any = model.hf
    effects = weights @ (hf.model.norm.weight.detach().numpy()[:, None] * hf.lm_head.weight.detach().numpy().T)
    rows = [row for batch in features(out, source) for row in batch.to_pylist()]
    assert len(rows) == values.shape[1]
    for row in rows:
        own = values[:, row["index"]]
        assert abs(row["active_tokens"] - (own > 0).sum()) <= 1
        assert row["max_activation"] == pytest.approx(max(own.max(), 0), rel=1e-3, abs=1e-6)
        assert row["logit_max"] == pytest.approx(effects[row["index"]].max(), rel=1e-3, abs=1e-4)


def test_options_win_over_the_file(folder: Path) -> None:
    demo = Path(__file__).parents[3] / "demo" / "generate.toml"
    merged = merged_config(demo, {"sae": ["neurons"], "dtype": "bfloat16", "threads": 2, "out": "elsewhere"})
    assert merged.source_set.saes == ["neurons"] and merged.source_set.sources == []
    assert (merged.model.dtype, merged.execution.threads, str(merged.out)) == ("bfloat16", 2, "elsewhere")
    assert merged.model.id == "smollm2-135m-it" and len(merged.corpus.collections) == 5
    with pytest.raises(ConfigError, match="--corpus, --tokens: give a configuration file or these options"):
        merged_config(None, {"model": "m", "sae": ["neurons"], "out": "o"})


def test_errors_are_one_line(folder: Path, tmp_path: Path) -> None:
    result = run(*options(folder, tmp_path / "out", "path:/nowhere"))
    assert result.exit_code == 1 and not (tmp_path / "out").exists()
    assert result.stderr == "error: --sae: Source path:/nowhere: /nowhere is no folder\n"


def test_formats_of_a_corpus(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in ("one", "two")).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    with pa.OSFile(str(tmp_path / "c.jsonl.zst"), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
        stream.write(lines)
    pq.write_table(pa.table({"text": ["one", "two"], "other": [1, 2]}), tmp_path / "d.parquet")
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.parquet"):
        documents = list(read_texts(tmp_path / name, "set"))
        assert [(document.text, document.collection) for document in documents] == [("one", "set"), ("two", "set")]
    (tmp_path / "e.txt").write_text("three")
    pieces = "".join(f"line {number}\n" for number in range(150_000))
    (tmp_path / "long.txt").write_text(pieces)
    texts = [document.text for document in read_texts(tmp_path / "long.txt", "set")]
    assert len(texts) == 2 and all(text.endswith("\n") for text in texts) and "".join(texts) == pieces
    assert [document.title for document in read_texts(tmp_path / "e.txt", "set")] == ["e"]
    for name, content, problem in (
        ("f.csv", b"x", "expected a name that ends in .jsonl"),
        ("g.jsonl", b'{"title": "t"}\n', "text is missing"),
        ("h.jsonl.gz", b"no gzip", "cannot be read as .jsonl"),
        ("i.parquet", b"no parquet", "cannot be read as .parquet"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorpusError, match=problem):
            list(read_texts(tmp_path / name, "set"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--dtype", "int3"), "--dtype: Input should be 'float32', 'float16' or 'bfloat16'"),
        (("--device", "banana"), "--device: there is no device 'banana' that torch can use here, only cpu"),
        (("--device", "cuda:99"), "--device: there is no device 'cuda:99' that torch can use here, only cpu"),
        (("--corpus", "nothing.txt"), "--corpus: nothing.txt is missing"),
        (("--context-size", "4000"), "--context-size: 4000 tokens; the model accepts at most 128"),
        (("--out", "/proc/none/dataset"), "/proc/none: No such file or directory"),
    ],
)
def test_a_wrong_option_is_named(folder: Path, tmp_path: Path, wrong: tuple[str, ...], message: str) -> None:
    small_sae(tmp_path / "1-small", 1, 8)
    result = run(*options(folder, tmp_path / "out", f"path:{tmp_path / '1-small'}"), *wrong)
    assert result.exit_code == 1 and result.stderr.startswith(f"error: {message}")
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_of_sources_without_its_kind_is_explained(folder: Path, tmp_path: Path) -> None:
    sae = small_sae(tmp_path / "1-small", 1, 8)
    result = run(*options(folder, tmp_path / "out", str(sae)))
    assert result.exit_code == 1 and "Put path: before it if it is a folder of sources" in result.stderr


def test_a_corpus_that_is_too_short_is_said(folder: Path, tmp_path: Path) -> None:
    sae = small_sae(tmp_path / "1-small", 1, 8)
    result = run(*options(folder, tmp_path / "out", f"path:{sae}"), "--tokens", "9000000")
    assert result.exit_code == 0, result.stderr
    contexts = read_manifest(tmp_path / "out").corpus.contexts
    assert f"has fewer than 9,000,000 tokens in full contexts; all {contexts} contexts of it are used" in result.stdout


def test_the_name_of_a_corpus_keeps_its_dots() -> None:
    names = {"a/3.1.0.md": "3.1.0", "b.jsonl.gz": "b", "c.v2.parquet": "c.v2", "hf:me/web.en": "web.en"}
    for file, name in names.items():
        needed = {"model": "m", "sae": ["neurons"], "corpus": file, "tokens": 9, "out": "o"}
        assert merged_config(None, needed).corpus.id == name
