"""Rows that an import leaves out, and imports of the public layout."""

import asyncio
import gzip
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_dataset.schema import EXPLANATIONS, FEATURES
from memicos_dataset.write import write_table
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.imports.dataset_imports import JOBS
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load
from memicos_webapp.datasets.stored_rows.verification import problems, shown_loads

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
    with pytest.raises(DatasetError, match="5 rows left out before it, and no more may be"):
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
    assert rows[-1]["reason"].endswith("is not a JSON object (begins with '[]')")
    # the folder of the conversion is deleted with it
    assert list((tmp_path / "conversions").iterdir()) == []


async def test_every_kind_of_bad_row_is_left_out_with_its_place_and_the_others_are_shown(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path, layers=(1,))
    (source,) = manifest.source_set.sources
    (entry,) = source.features
    rows = pq.read_table(tmp_path / entry.path).to_pylist()
    contexts = manifest.corpus.contexts
    faults: dict[int, tuple[str, str]] = {}

    def damage(row: int, column: str, value: object, reason: str) -> None:
        rows[row][column] = value
        faults[row + 1] = (column, reason)

    damage(2, "index", 1, "1 occurs twice")
    damage(3, "index", 64, "64 is not from 0 to 63")
    damage(4, "density", math.nan, "finite")
    damage(5, "logit_max", math.inf, "finite")
    damage(6, "positive_logits", [1.0], "1")
    damage(7, "positive_token_ids", [10**6] * 10, "is not in the vocabulary")
    damage(8, "neighbour_indices", [64] * 10, "is not an index of the source's features")
    damage(9, "example_contexts", [contexts, *rows[9]["example_contexts"][1:]], "is not a context of the corpus")
    damage(10, "example_groups", [9, *rows[10]["example_groups"][1:]], "nor the number of one")
    damage(
        11, "example_positions", [32, *rows[11]["example_positions"][1:]], "is not a position of the example's context"
    )
    damage(12, "values", [[1e9] * len(own) for own in rows[12]["values"]], "is above the feature's max_activation")
    damage(13, "values", [own[:-1] for own in rows[13]["values"]], "another number of values")
    damage(14, "density", 1.5, "is not a share from 0 to 1")
    new = write_table(tmp_path, entry.path, pa.Table.from_pylist(rows, schema=FEATURES))
    entry.bytes, entry.sha256 = new.bytes, new.sha256
    assert source.explanations is not None and source.scores is not None
    texts = pq.read_table(tmp_path / source.explanations.path).to_pylist()[20:22]
    texts[0]["description"] = "with a NUL: \0"
    texts += [texts[0] | {"index": 63_000}, texts[0] | {"description": " "}]
    new = write_table(tmp_path, source.explanations.path, pa.Table.from_pylist(texts, schema=EXPLANATIONS))
    source.explanations = new
    scores = pq.read_table(tmp_path / source.scores.path)
    own = scores.to_pylist()[0] | {"explanation": 0}
    # the first of two is stored, and none of an explanation that is left out
    own_scores = [own | {"seed": 1}, own | {"seed": 2}, own | {"explanation": 2, "seed": 3}]
    source.scores = write_table(tmp_path, source.scores.path, pa.Table.from_pylist(own_scores, schema=scores.schema))
    manifest.write(tmp_path)
    await load(tmp_path, fresh_url, ImportOptions(reject_limit=20))
    found = {
        (Path(row["file"]).stem, row["line"]): (row["column"], row["reason"]) for row in await fetch(fresh_url, REJECTS)
    }
    assert found.keys() == {("features-00000", line) for line in faults} | {("explanations", 3), ("explanations", 4)}
    for line, (column, reason) in faults.items():
        reported, problem = found["features-00000", line]
        assert reported == column and reason in problem, (line, reported, problem)
        # the row has columns for the place
        assert not problem.startswith("row")
    assert "is not the index of a feature" in found["explanations", 3][1] and "is empty" in found["explanations", 4][1]
    shown = {row["index"] for row in await fetch(fresh_url, SHOWN)}
    assert shown == {row["index"] for line, row in enumerate(rows, 1) if line not in faults}
    (text,) = await fetch(fresh_url, "SELECT description FROM explanation WHERE index = $1", texts[0]["index"])
    assert text["description"] == "with a NUL: ␀"
    stored = await fetch(fresh_url, "SELECT description, seed FROM score JOIN explanation e ON e.id = explanation_id")
    assert [tuple(row) for row in stored] == [("with a NUL: ␀", 1)]
    async with connected(fresh_url) as connection:
        (own_load,) = await shown_loads(connection, manifest.model.id, [source.id])
        assert await problems(connection, own_load) == []
    (verified,) = await fetch(fresh_url, "SELECT verified_at, verification_problem FROM load")
    assert verified["verified_at"] and verified["verification_problem"] is None


async def test_the_command_imports_the_public_layout(fresh_url: str, small_dataset: Path, tmp_path: Path) -> None:
    manifest = to_public(small_dataset, tmp_path / "public", Options(), lambda line: None)
    model = manifest.model
    shape = {"layers": model.layers, "d-model": model.d_model, "vocabulary-size": model.vocabulary_size}
    options = [f"--{name}={value}" for name, value in shape.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "memicos_webapp.datasets.commands", *options, str(tmp_path / "public/v1" / model.id)),
        env={**os.environ, "DATABASE_URL": fresh_url, "MEMICOS_IMPORT_FOLDER": str(tmp_path / "conversions")},
    )
    assert await process.wait() == 0
    (job,) = await fetch(fresh_url, JOBS)
    assert job["state"] == "done"
