"""Sources: info without weights, folding, index checks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from memicos_engine.errors import InvalidRequestError, RecipeError, SourceError
from memicos_engine.sources.recipe import SourceRecipe
from memicos_engine.sources.source_loading import load_source, read_local_info
from memicos_testing.models.small_model import small_sae, write_extras
from safetensors.numpy import load_file, save_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_sae(tmp_path / "1-small", layer=1, width=64)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "sae_weights.safetensors")


def test_source_info_is_read_without_weights_and_agrees_with_the_source(folder: Path) -> None:
    source = load_source(folder, "1-small")
    # headers are read, values are not
    unknown = {name: np.full_like(value, np.nan) for name, value in weights(folder).items()}
    save_file(unknown, folder / "sae_weights.safetensors")
    facts = read_local_info(folder, "1-small")
    assert facts.recipe == SourceRecipe("blocks.1.hook_resid_post", True, 128, (0,), None)
    assert (facts.id, facts.layer, facts.d_sae, facts.architecture) == ("1-small", 1, 64, "jumprelu")
    assert all(getattr(source, name) == value for name, value in vars(facts).items())


def test_memicos_json_overrides_the_defaults(folder: Path) -> None:
    write_extras(folder, [0, 3], 12.5)
    for facts in (read_local_info(folder, "1-small"), load_source(folder, "1-small")):
        assert (facts.recipe.ignored_positions, facts.recipe.norm_cut) == ((0, 3), 12.5)
    write_extras(folder, [], None)
    assert read_local_info(folder, "1-small").recipe.ignored_positions == ()


def test_without_bos_no_position_is_ignored(folder: Path) -> None:
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"]["prepend_bos"] = False
    (folder / "cfg.json").write_text(json.dumps(config))
    recipe = read_local_info(folder, "1-small").recipe
    assert not recipe.prepend_bos and recipe.ignored_positions == ()


def test_unit_directions_are_not_rescaled(folder: Path) -> None:
    stored = {name: value.astype(np.float16) for name, value in weights(folder).items()}
    save_file(stored, folder / "sae_weights.safetensors")
    source = load_source(folder, "1-small")
    assert np.array_equal(source.decoder_row(5).numpy(), stored["W_dec"][5].astype(np.float32))


@pytest.mark.parametrize("architecture", ["jumprelu", "standard", "gated"])
def test_folding_gives_unit_directions_and_the_same_reconstruction(tmp_path: Path, architecture: str) -> None:
    folder = small_sae(tmp_path / "1-small", layer=1, width=64, architecture=architecture)
    stored = weights(folder)
    lengths = np.random.default_rng(0).uniform(0.5, 2, size=(64, 1)).astype(np.float32)
    save_file(stored | {"W_dec": stored["W_dec"] * lengths}, folder / "sae_weights.safetensors")
    hidden = torch.randn(40, stored["b_dec"].shape[0], generator=torch.Generator().manual_seed(0)) * 3
    hidden += torch.tensor(stored["b_dec"])
    source = load_source(folder, "1-small")
    rows = source.sae.W_dec.numpy()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows, stored["W_dec"] / np.linalg.norm(stored["W_dec"], axis=1)[:, None], atol=1e-5)
    values = source.encode(hidden).numpy()
    assert 0 < (values > 0).mean() < 1
    if architecture == "jumprelu":
        pre = hidden.numpy() @ stored["W_enc"] + stored["b_enc"]
        expected = np.where(pre > stored["threshold"], pre, 0) * lengths[:, 0]
        np.testing.assert_allclose(values, expected, atol=1e-3, rtol=1e-3)


def test_top_k_is_not_folded_where_that_would_change_the_selection(tmp_path: Path) -> None:
    folder = small_sae(tmp_path / "1-small", layer=1, width=64, architecture="topk")
    stored = weights(folder)
    save_file(stored | {"W_dec": stored["W_dec"] * 3}, folder / "sae_weights.safetensors")
    source = load_source(folder, "1-small")
    assert source.decoder_row(0).norm().item() == pytest.approx(3, rel=1e-4)


def test_weights_are_loaded_in_the_requested_dtype(folder: Path) -> None:
    source = load_source(folder, "1-small", dtype="bfloat16")
    assert source.decoder_row(0).dtype == torch.bfloat16
    assert source.encode(torch.zeros(2, source.d_in)).dtype == torch.bfloat16


def test_an_index_out_of_range_is_refused_with_the_range(folder: Path) -> None:
    source = load_source(folder, "1-small")
    source.check_index(0)
    source.check_index(63)
    for index in (-1, 64, 10**30):
        with pytest.raises(InvalidRequestError, match=f"0 to 63; there is no {index}"):
            source.check_index(index)


def test_files_that_are_not_a_source_are_named(folder: Path, tmp_path: Path) -> None:
    file = folder / "sae_weights.safetensors"
    content, config = file.read_bytes(), (folder / "cfg.json").read_text()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match="1-small"):
        load_source(folder, "1-small")
    save_file({"W_dec": np.zeros((64, 3), np.float32)}, file)
    with pytest.raises(SourceError, match="1-small"):
        load_source(folder, "1-small")
    file.unlink()
    with pytest.raises(SourceError, match="sae_weights"):
        load_source(folder, "1-small")
    (folder / "cfg.json").write_text(config[:-20])
    with pytest.raises(SourceError, match="1-small"):
        read_local_info(folder, "1-small")
    (folder / "cfg.json").write_text("{}")
    file.write_bytes(content)
    with pytest.raises(RecipeError, match="missing hook_name"):
        read_local_info(folder, "1-small")
    with pytest.raises(SourceError, match="there is no folder"):
        read_local_info(tmp_path / "none", "1-small")
    (folder / "cfg.json").write_text(config)
    (folder / "memicos.json").write_text('{"norm_cut": "tall"}')
    with pytest.raises(RecipeError, match=r"memicos.json: expected"):
        read_local_info(folder, "1-small")
