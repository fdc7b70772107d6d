"""Rows that an import leaves out, and imports of the public layout."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_testing.webapp.database import fetch
from memicos_testing.webapp.dataset_imports import JOBS
from memicos_webapp.datasets.service import load
from memicos_webapp.datasets.steps import ImportOptions

REJECTS = 'SELECT job_id, file, line, "column", reason FROM job_reject ORDER BY file, line'
SHOWN = """SELECT source.name, feature.index FROM feature JOIN source ON source.current_load_id = load_id
           ORDER BY source.name, feature.index"""


async def test_rows_that_no_page_could_show_are_left_out_up_to_a_limit(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path)
    source = manifest.source_set.sources[1]
    (entry,) = source.features
    # features 20 and above, and those with neighbours among them, are now unknown
    source.d_sae = 20
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match="5 rows were left out before it, and no more may be"):
        await load(tmp_path, fresh_url, ImportOptions(reject_limit=5))
    assert await fetch(fresh_url, SHOWN) == []
    assert len(await fetch(fresh_url, REJECTS)) == 6
    report = await load(tmp_path, fresh_url, ImportOptions(reject_limit=1000))
    failed, done = await fetch(fresh_url, JOBS)
    assert (failed["state"], failed["rejects"], done["state"]) == ("failed", 6, "done")
    key = (done["id"], Path(entry.path).name)
    rejects = [row for row in await fetch(fresh_url, REJECTS) if (row["job_id"], Path(row["file"]).name) == key]
    lines = {row["line"] for row in rejects}
    # the file has its features in the order of their indices
    assert set(range(21, entry.rows + 1)) <= lines
    assert any(row["column"] == "index" and "20 is not from 0 to 19" in row["reason"] for row in rejects)
    shown = {row["index"] for row in await fetch(fresh_url, SHOWN) if row["name"] == source.id}
    assert shown == {line - 1 for line in range(1, entry.rows + 1) if line not in lines}
    counts = await fetch(
        fresh_url, "SELECT source.name, features FROM load JOIN source ON source.current_load_id = load.id"
    )
    assert {row["name"]: row["features"] for row in counts}[source.id] == len(shown)
    assert any(f"memicos jobs rejects {done['id']}" in note for note in report.notes)


async def test_an_import_whose_conversion_cannot_be_written_is_refused(
    fresh_url: str, small_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = to_public(small_dataset, tmp_path / "public", Options(), lambda line: None)
    (tmp_path / "file").write_text("not a folder")
    options = ImportOptions(conversions=str(tmp_path / "file/conversions"))
    with pytest.raises(DatasetError, match=r"file/conversions: a conversion cannot be written .*MEMICOS_IMPORT_FOLDER"):
        await load(tmp_path / "public" / "v1" / manifest.model.id, fresh_url, options)
    (job,) = await fetch(fresh_url, JOBS)
    assert job["state"] == "failed" and "could not be recorded" not in caplog.text


async def test_the_public_layout_is_imported_without_its_bad_lines(
    fresh_url: str, loaded_url: str, small_dataset: Path, tmp_path: Path
) -> None:
    manifest = to_public(small_dataset, tmp_path / "public", Options(), lambda line: None)
    folder = tmp_path / "public" / "v1" / manifest.model.id
    batch = sorted(folder.glob("*/features/batch-*.jsonl.gz"))[0]
    with gzip.open(batch, "ab") as file:
        file.write(b'{"index": "blue"}\n[]\n')
    model = manifest.model
    options = ImportOptions(
        conversions=str(tmp_path / "conversions"),
        metadata={"layers": model.layers, "d_model": model.d_model, "vocabulary_size": model.vocabulary_size},
    )
    with pytest.raises(DatasetError, match="column index"):
        await load(folder, fresh_url, options)
    assert await fetch(fresh_url, SHOWN) == []
    await load(folder, fresh_url, ImportOptions(**{**vars(options), "reject_limit": 2}))
    assert await fetch(fresh_url, SHOWN) == await fetch(loaded_url, SHOWN)
    failed, done = await fetch(fresh_url, JOBS)
    assert (failed["state"], failed["rejects"], done["state"], done["rejects"]) == ("failed", 1, "done", 2)
    rows = await fetch(fresh_url, REJECTS)
    assert {row["file"] for row in rows} == {str(batch)}
    assert rows[-1]["reason"].endswith("is not a JSON object (is not a JSON object)")
    # the folder of the conversion is deleted with it
    assert list((tmp_path / "conversions").iterdir()) == []
