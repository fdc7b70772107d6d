"""Sources that are shown already: missing from a dataset, moved to another set, or of another shape."""

from collections.abc import Callable
from pathlib import Path

import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_testing.webapp.database import counts, fetch, shown_rows, states
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load


async def names_shown(url: str) -> dict[str, str]:
    rows = await fetch(
        url,
        """SELECT source.name, source_set.name AS set_name FROM source
           JOIN source_set ON source_set.id = source_set_id WHERE current_load_id IS NOT NULL ORDER BY 1""",
    )
    return {row["name"]: row["set_name"] for row in rows}


async def test_sources_that_a_dataset_lacks_are_decided_about(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    write_dataset(tmp_path, layers=(2, 3), seed=1)
    before = await shown_rows(fresh_url)
    with pytest.raises(DatasetError, match="lacks: 1-res; keep them with --keep-missing, or hide them with --retire"):
        await load(tmp_path, fresh_url)
    assert await shown_rows(fresh_url) == before
    report = await load(tmp_path, fresh_url, ImportOptions(missing=MissingSources.KEEP))
    assert report.notes == ["kept as they are, though this dataset lacks them: 1-res"]
    assert list(await names_shown(fresh_url)) == ["1-res", "2-res", "3-res"]
    # imported again: nothing to copy, and the source can still be retired
    assert not (await load(tmp_path, fresh_url)).loaded
    report = await load(tmp_path, fresh_url, ImportOptions(missing=MissingSources.RETIRE, retired_seconds=0))
    assert not report.loaded and report.notes == ["retired, as this dataset lacks them: 1-res"]
    assert list(await names_shown(fresh_url)) == ["2-res", "3-res"]
    assert await states(fresh_url) == ["shown"] * 2
    report = await load(small_dataset, fresh_url)
    assert report.loaded and list(await names_shown(fresh_url)) == ["1-res", "2-res", "3-res"]


async def test_a_source_moves_to_another_set_only_when_asked(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    def write_variants(folder: Path, source_set: str) -> None:
        manifest = write_dataset(folder, source_set="res__v", seed=1)
        manifest.source_set.id = source_set
        manifest.write(folder)

    write_variants(tmp_path / "own", "res__v")
    write_variants(tmp_path / "of-res", "res")
    await load(tmp_path / "own", fresh_url)
    with pytest.raises(DatasetError, match="'1-res__v' belongs to set 'res__v' in the database, not to 'res'"):
        await load(tmp_path / "of-res", fresh_url)
    assert set((await names_shown(fresh_url)).values()) == {"res__v"}
    report = await load(tmp_path / "of-res", fresh_url, ImportOptions(move_sources=True))
    assert report.notes == [f"{layer}-res__v moves from set res__v to res" for layer in (1, 2, 3)]
    assert set((await names_shown(fresh_url)).values()) == {"res"}


async def test_a_model_of_another_shape_and_a_set_of_another_release(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    manifest = write_dataset(tmp_path / "mlp", source_set="mlp")
    manifest.model.layers = 30
    manifest.write(tmp_path / "mlp")
    with pytest.raises(DatasetError, match="give another model its own id"):
        await load(tmp_path / "mlp", fresh_url)
    manifest = write_dataset(tmp_path / "res", seed=1)
    manifest.release.id = "second"
    manifest.write(tmp_path / "res")
    report = await load(tmp_path / "res", fresh_url)
    assert report.notes == ["set res moves from release small-release to second"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("1-att", "source '1-att' does not belong to set 'res'"),
        ("2-res", "source '2-res' names layer 2, and its entry says layer 1"),
        ("res", "source 'res' does not belong to set 'res'"),
        ("1", "source '1' does not belong to set 'res'"),
        ("1-res-4k", "source '1-res-4k' does not belong to set 'res'"),
    ],
)
async def test_a_source_that_is_not_of_its_set_is_refused(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest], source: str, problem: str
) -> None:
    manifest = write_dataset(tmp_path)
    manifest.source_set.sources[0].id = source
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match=problem):
        await load(tmp_path, fresh_url)
    assert set((await counts(fresh_url)).values()) == {0}
