"""Entries of SAE_SETS: specs, ids, patterns, duplicate ids, unreadable sources."""

import json
import shutil
from pathlib import Path

import pytest
from memicos_engine.errors import LoadError
from memicos_engine.sources import saelens_registry
from memicos_engine.sources.formats import FORMATS
from memicos_engine.sources.source_candidates import SourceCandidate, with_load_errors
from memicos_engine.sources.source_loading import read_local_info
from memicos_engine.sources.source_selection import (
    DuplicateIdError,
    SelectedSources,
    check_unique_ids,
    select_sources,
)
from memicos_engine.sources.source_specs import SourceSelection, parse_spec
from memicos_testing.models.foreign_saes import (
    LAYOUTS,
    random_weights,
    write_gemma_scope,
    write_openai,
    write_saelens,
    write_sparsify,
)


def chosen(*sets: str, **options: object) -> SelectedSources:
    return select_sources(SourceSelection(sets=sets, models=("some",), **options), lambda message, share: None)  # pyright: ignore[reportArgumentType]


def reason(candidate: SourceCandidate) -> str:
    with pytest.raises(LoadError) as error:
        with_load_errors(candidate, candidate.read_info, SourceSelection((), ()))
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "kind", "name", "form"),
    [
        ("res-jb", "set", "res-jb", None),
        ("res-jb@sparsify", "set", "res-jb", "sparsify"),
        ("neurons", "neurons", "neurons", None),
        ("path:/a/b c@openai", "path", "/a/b c", "openai"),
        ("path:/at@home/sae", "path", "/at@home/sae", None),
        ("hf:google/gemma-scope-2b-pt-res", "hf", "google/gemma-scope-2b-pt-res", None),
        ("hf:a/b/layer_1/x/@saelens", "hf", "a/b/layer_1/x", "saelens"),
    ],
)
def test_entries(text: str, kind: str, name: str, form: str | None) -> None:
    spec = parse_spec(text)
    assert (spec.kind, spec.name, spec.format) == (kind, name, form)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("res-jb@zip", "there is no format zip, only tensors, sparsify, saelens"),
        ("hf:gpt2", "hf:owner/name"),
        ("hf:a/b/../c", "hf:owner/name"),
        ("path:", "is no source set"),
        ("s3:bucket", "is no source set"),
        ("", "is no source set"),
    ],
)
def test_invalid_entries(text: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        parse_spec(text)


def test_a_folder_is_a_source_or_contains_sources(tmp_path: Path) -> None:
    for layer in (10, 2):
        write_saelens(tmp_path / "run" / f"layer_{layer}", random_weights(layer, 8, 16))
    (tmp_path / "run" / "logs").mkdir()
    choice = chosen(f"path:{tmp_path}/run")
    assert (
        [candidate.id for candidate in choice.candidates] == ["2-run", "10-run"]
        and choice.registry_models == []
        and not choice.include_neurons
    )
    (candidate,) = chosen(f"path:{tmp_path}/run/layer_2").candidates
    assert candidate.id == "2-layer_2" and str(tmp_path / "run" / "layer_2") in candidate.location
    assert candidate.read_info().id == "2-layer_2" and candidate.load().id == "2-layer_2"


def test_the_set_is_named_by_memicos_json_else_by_the_folder(tmp_path: Path) -> None:
    weights = random_weights(3, 8, 16)
    run = tmp_path / "my run"
    write_saelens(run / "3-res-4k__wide", weights)
    write_saelens(run / "4-res-4k", weights)
    gemma = write_gemma_scope(run / "named", weights)
    content = json.loads((gemma / "memicos.json").read_text())
    (gemma / "memicos.json").write_text(json.dumps(content | {"set": "own"}))
    # a folder of another layer does not determine the id
    assert [candidate.id for candidate in chosen(f"path:{run}").candidates] == ["3-my-run", "3-own", "3-res-4k__wide"]
    (run / "memicos.json").write_text('{"set": "other"}')
    assert [candidate.id for candidate in chosen(f"path:{run}").candidates] == ["3-other", "3-own", "3-res-4k__wide"]
    embedding = write_gemma_scope(tmp_path / "embedding", weights)
    (embedding / "memicos.json").write_text('{"hook_name": "hook_embed"}')
    assert [candidate.id for candidate in chosen(f"path:{embedding}").candidates] == ["e-embedding"]


def test_a_folder_with_several_formats_and_a_forced_format(tmp_path: Path) -> None:
    layers = {name: layer for layer, name in enumerate(LAYOUTS)}
    for name, layout in LAYOUTS.items():
        if name != "sparsify":  # its folders are named by it
            layout.write(tmp_path / "all" / name, random_weights(layers[name], 8, 16))
    write_sparsify(tmp_path / "all", random_weights(layers["sparsify"], 8, 16))
    (tmp_path / "all" / "config.json").unlink()
    # the files of circuit-tracer are a set of their own
    sets = {layer: name if name == "circuit-tracer" else "all" for name, layer in layers.items()}
    assert [candidate.id for candidate in chosen(f"path:{tmp_path}/all").candidates] == [
        f"{layer}-{name}" for layer, name in sets.items()
    ]
    (candidate,) = chosen(f"path:{tmp_path}/all@openai").candidates
    assert candidate.id == f"{layers['openai']}-all"


def test_a_folder_of_sets(tmp_path: Path) -> None:
    """SAE_FOLDER: folder names are ids, in any format."""
    write_saelens(tmp_path / "1-res", random_weights(1, 8, 16))
    write_openai(tmp_path / "2-res", random_weights(2, 8, 16))
    write_saelens(tmp_path / "2-other", random_weights(2, 8, 16))
    assert [candidate.id for candidate in chosen("res", folder=tmp_path).candidates] == ["1-res", "2-res"]
    assert [candidate.id for candidate in chosen("res@openai", folder=tmp_path).candidates] == ["2-res"]
    (unknown,) = chosen("ress", folder=tmp_path).candidates
    assert "SAE_FOLDER has other, res" in reason(unknown)


def test_of_two_sources_with_one_id_the_second_is_reported_with_both_paths(tmp_path: Path) -> None:
    source_folder = write_saelens(tmp_path / "a" / "1-res", random_weights(1, 8, 16))
    two = write_saelens(tmp_path / "b" / "1-res", random_weights(1, 8, 16))
    for entries, first in (
        ((f"path:{source_folder}", f"path:{two}"), source_folder),
        ((f"path:{two.parent}", "res"), two),
        ((f"path:{two}", f"path:{two}"), two),
    ):
        served, duplicate = chosen(*entries, folder=source_folder.parent).candidates
        assert served.id == "1-res" and served.folder == first and served.error is None
        message = reason(duplicate)
        assert "Two sources have the id 1-res" in message and str(first) in message and duplicate.location in message
        with pytest.raises(DuplicateIdError, match="id 1-res"):
            check_unique_ids([served, duplicate])
        assert duplicate.id != "1-res"
    shutil.rmtree(two)
    assert len(chosen(f"path:{source_folder}").candidates) == 1


def test_patterns_and_neurons(tmp_path: Path) -> None:
    for layer in (1, 2):
        write_saelens(tmp_path / "run" / str(layer), random_weights(layer, 8, 16))
    entry = f"path:{tmp_path}/run"
    assert [candidate.id for candidate in chosen(entry, include=("^2-",)).candidates] == ["2-run"]
    with pytest.raises(LoadError, match="No source is left"):
        chosen(entry, include=("^9",))
    choice = chosen(entry, "neurons", include=(r"^\d$",))
    assert choice.candidates == [] and choice.include_neurons


def test_an_unreadable_source_is_kept_with_its_reason(tmp_path: Path) -> None:
    write_saelens(tmp_path / "run" / "1", random_weights(1, 8, 16))
    broken = write_saelens(tmp_path / "run" / "2", random_weights(2, 8, 16))
    (broken / "cfg.json").write_text("{")
    # patterns cannot match an unknown id
    bad, good = chosen(f"path:{tmp_path}/run", include=("^1-",)).candidates
    assert good.id == "1-run" and bad.id == bad.location and str(broken) in reason(bad)
    (missing,) = chosen(f"path:{tmp_path}/nowhere").candidates
    assert "nowhere is no folder" in reason(missing)
    (tmp_path / "empty").mkdir()
    (missing,) = chosen(f"path:{tmp_path}/empty").candidates
    assert "holds no source, nor does a folder in it; it has nothing. Formats, with the files" in reason(missing)
    assert all(f"{file_format.name}: {file_format.files}" in reason(missing) for file_format in FORMATS.values())
    (tmp_path / "empty" / "weights.bin").touch()
    (missing,) = chosen(f"path:{tmp_path}/empty").candidates
    assert "it has weights.bin." in reason(missing)
    (forced,) = chosen(f"path:{tmp_path}/run/1@gemma-scope").candidates
    assert reason(forced).endswith("the files that were looked for: gemma-scope: params.npz")


def test_recorded_metrics_are_loaded_with_a_source(tmp_path: Path) -> None:
    assert saelens_registry.recorded_metrics("gpt2-small-res-jb", "blocks.0.hook_resid_pre") == {
        "l0": 10.0,
        "explained_variance": 0.999,
    }
    # SAELens' directory has 1 where no value was recorded
    assert saelens_registry.recorded_metrics("gemma-scope-2b-pt-res", "layer_0/width_16k/average_l0_13") == {"l0": 13.0}
    weights = random_weights(1, 32, 48)
    write_gemma_scope(tmp_path / "average_l0_72", weights)
    write_openai(tmp_path / "topk", weights)
    folder = write_saelens(tmp_path / "own", weights)
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"] |= {"l0": 40.5, "explained_variance": 0.8}
    (folder / "cfg.json").write_text(json.dumps(config))
    infos = {name: read_local_info(tmp_path / name, "1-some") for name in ("average_l0_72", "topk", "own")}
    assert {name: (item.k, item.l0, item.explained_variance) for name, item in infos.items()} == {
        "average_l0_72": (None, 72.0, None),
        "topk": (8, None, None),
        "own": (None, 40.5, 0.8),
    }
