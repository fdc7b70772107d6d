"""Values in a source's files that no source can have: each is an error of that source, and ends no program."""

import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from memicos_engine.errors import RecipeError, SourceError
from memicos_engine.sources.recipe import REQUIRED_FIELDS
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_testing.models.foreign_saes import (
    Weights,
    random_weights,
    write_gemma_scope,
    write_llama_scope,
    write_saelens,
    write_sparsify,
)


@pytest.fixture
def weights() -> Weights:
    return random_weights(5, 32, 48)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("context_size", float("inf"), "expected a whole number from 1 to 2147483647 as context_size, not Infinity"),
        ("context_size", float("nan"), "as context_size, not NaN"),
        ("context_size", 10**400, "as context_size, not 1000"),
        ("context_size", "128", 'as context_size, not "128"'),
        ("context_size", 12.5, "as context_size, not 12.5"),
        ("context_size", True, "as context_size, not true"),
        ("context_size", [128], r"as context_size, not \[128\]"),
        ("prepend_bos", "false", 'expected true or false as prepend_bos, not "false"'),
        ("hook_name", 5, "expected a text as hook_name, not 5"),
        ("hook_name_out", ["a"], "expected a text as hook_name_out"),
    ],
)
def test_an_invalid_value_in_a_source_own_configuration_is_refused(
    name: str, value: object, message: str, weights: Weights, tmp_path: Path
) -> None:
    folder = write_saelens(tmp_path / "some", weights)
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {"metadata": config["metadata"] | {name: value}}))
    with pytest.raises(RecipeError, match=message) as error:
        read_local_info(folder, "5-some")
    assert str(folder) in str(error.value) and f'memicos.json beside the weights, for example {{"{name}"' in str(
        error.value
    )
    # a right value there overrides it
    right = {"hook_name_out": "blocks.5.hook_mlp_out", **REQUIRED_FIELDS}[name]
    (folder / "memicos.json").write_text(json.dumps({name: right}))
    assert getattr(read_local_info(folder, "5-some").recipe, name) == right


def test_a_whole_number_with_a_decimal_point_is_a_context_size(weights: Weights, tmp_path: Path) -> None:
    folder = write_saelens(tmp_path / "some", weights)
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {"metadata": config["metadata"] | {"context_size": 128.0}}))
    assert read_local_info(folder, "5-some").recipe.context_size == 128


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, "8", [8], 0, True])
def test_numbers_of_configurations_are_checked(value: object, weights: Weights, tmp_path: Path) -> None:
    """Each is an error of the source, or not used; none ends the program that reads it."""
    sparsify = write_sparsify(tmp_path / "layers.5", weights)
    (sparsify / "cfg.json").write_text(json.dumps(json.loads((sparsify / "cfg.json").read_text()) | {"k": value}))
    with pytest.raises(SourceError, match="its k is"):
        read_local_info(sparsify, "5-some")
    llama_scope = write_llama_scope(tmp_path / "llama", weights)
    config = json.loads((llama_scope / "config.json").read_text())
    (llama_scope / "config.json").write_text(json.dumps(config | {"d_model": value}))
    if value not in ("8", True):
        with pytest.raises((SourceError, RecipeError)):
            read_local_info(llama_scope, "5-some")
    saelens = write_saelens(tmp_path / "own", weights)
    config = json.loads((saelens / "cfg.json").read_text())
    metadata = config["metadata"] | {"l0": value, "explained_variance": value}
    (saelens / "cfg.json").write_text(json.dumps(config | {"metadata": metadata}))
    facts = read_local_info(saelens, "5-some")
    assert facts.l0 == facts.explained_variance == (0 if value == 0 and value is not True else None)


@pytest.mark.parametrize(
    ("write", "file"),
    [(write_saelens, "cfg.json"), (write_sparsify, "cfg.json"), (write_llama_scope, "config.json")],
)
def test_json_of_many_levels_is_an_error_of_its_source(
    write: Callable[[Path, Weights], Path], file: str, weights: Weights, tmp_path: Path
) -> None:
    folder = write(tmp_path / "layers.5", weights)
    (folder / file).write_text('{"d_model": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(SourceError, match=r"layers\.5.* recursion depth exceeded"):
        read_local_info(folder, "5-some")


@pytest.mark.parametrize("header", [b"(", b"{'descr': '<f4', 'fortran_order': False, 'shape': (1", b"\xff\x00"])
def test_a_damaged_array_is_an_error_of_its_source(header: bytes, weights: Weights, tmp_path: Path) -> None:
    folder = write_gemma_scope(tmp_path / "some", weights)
    with ZipFile(folder / "params.npz", "w", ZIP_DEFLATED) as archive:
        padded = header.ljust(117) + b"\n"
        archive.writestr("W_enc.npy", b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded)
    with pytest.raises(SourceError, match="is not a source that can be loaded"):
        read_local_info(folder, "5-some")


def test_a_damaged_compressed_file_is_an_error_of_its_source(weights: Weights, tmp_path: Path) -> None:
    folder = write_gemma_scope(tmp_path / "some", weights)
    file = folder / "params.npz"
    with np.load(file) as arrays:
        np.savez_compressed(file, **{name: arrays[name] for name in arrays.files})
    content = bytearray(file.read_bytes())
    content[40:90] = b"\xff" * 50
    file.write_bytes(bytes(content))
    with pytest.raises(SourceError, match="is not a source that can be loaded"):
        load_source(folder, "5-some")
