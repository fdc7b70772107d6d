"""`memicos generate --out URL`: the dataset is written on this machine, then put to the URL, the manifest last."""

import json
from pathlib import Path

import fsspec
import pytest
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import FILE_NAME
from memicos_dataset.read import read_manifest, verify
from memicos_pipeline.command_options import merged_config
from memicos_pipeline.config import ConfigError, GenerateConfig, validate
from memicos_pipeline.generate import generate
from memicos_testing.models.small_model import small_model, small_sae
from memicos_testing.models.tiny_generate import tiny_config

URL = "memory://generated/dataset"


def configured(folder: Path) -> GenerateConfig:
    content = json.loads(tiny_config(folder, ["1-res"], 32, 8).model_dump_json())
    # one collection whose licence is that of a data set's card
    content["corpus"] |= {"collections": [], "tokens": 256, "file": f"hf:{folder}/texts", "context_size": 32}
    return validate(content | {"out": URL}, "test")


def test_a_dataset_is_put_to_a_url_with_the_licence_of_its_corpus(tmp_path: Path) -> None:
    small_model(tmp_path / "model")
    small_sae(tmp_path / "saes" / "1-res", 1, 48, seed=1)
    config = configured(tmp_path)
    texts = tmp_path / "texts"
    texts.mkdir()
    (tmp_path / "corpus.jsonl").rename(texts / "train.jsonl")
    (texts / "README.md").write_text("---\nlicense: cc-by-4.0\npretty_name: Small stories\n---\n")
    assert config.out.parent == tmp_path / "work" and config.out_url == URL
    lines: list[str] = []
    generate(config, lines.append)
    manifest = read_manifest(URL)
    verify(URL, manifest)
    (collection,) = manifest.corpus.collections
    assert (collection.license, collection.attribution) == ("cc-by-4.0", "Small stories")
    assert f"{URL}: is complete and verified; {len(manifest.files()) + 1} files sent now" in lines
    # a run that was killed while it sent them
    fsspec.filesystem("memory").rm_file(f"/generated/dataset/{FILE_NAME}")
    lines.clear()
    generate(config, lines.append)
    assert "nothing to do" in lines[0] and lines[-1].endswith("; 1 file sent now")
    assert read_manifest(Folder.of(URL)) == manifest


def test_a_url_needs_a_local_folder_for_activations() -> None:
    options = {"model": "m", "sae": ["neurons"], "corpus": "a.txt", "tokens": 10, "out": "s3://bucket/d"}
    config = merged_config(None, options)
    assert config.out_url == "s3://bucket/d" and config.out.parent == Path(".memicos-generate")
    with pytest.raises(ConfigError, match="out_url is no key"):
        validate({"out": "x", "out_url": "s3://b/d"}, "file")
