"""Direct feature attributions of examples: imported, verified, shown, and the same after an export and an import."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.diff import diff
from memicos_dataset.conversion.inspect import faults
from memicos_dataset.conversion.native import to_native
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import Manifest
from memicos_dataset.write import write_table
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.servers import Start
from memicos_testing.webapp.database import connected, execute, fetch
from memicos_testing.webapp.explanations import GENERATE, body
from memicos_webapp.database.packed_numbers import unpack
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load
from memicos_webapp.stored_sources import verify
from memicos_webapp.stored_sources.export import ExportFormat, export
from memicos_webapp.stored_sources.selection import select

COLUMNS = ("example_dfa_values", "example_dfa_positions")
ATTRIBUTIONS = ("example_dfa_positions", "example_dfa_lengths", "dfa_values")
STORED = """SELECT index, example_dfa_positions, example_dfa_lengths, dfa_values FROM feature
            JOIN source ON source.current_load_id = load_id WHERE source.name = $1 ORDER BY index"""


@pytest.fixture
def attributed(tmp_path: Path, write_dataset: Callable[..., Manifest]) -> Path:
    """A dataset whose source 1-res has attributions, and whose source 2-res has none."""
    write_dataset(tmp_path / "dataset", layers=(1, 2), features=32, attributed=(1,))
    return tmp_path / "dataset"


def feature(folder: Path, index: int) -> dict[str, list]:
    return pq.read_table(folder / "1-res/features-00000.parquet").to_pylist()[index]


async def test_attributions_are_stored_verified_and_given_with_the_feature(
    attributed: Path, fresh_url: str, started: Start
) -> None:
    await load(attributed, fresh_url)
    stored = {
        row["index"]: {name: unpack(row[name]) for name in ATTRIBUTIONS}
        for row in await fetch(fresh_url, STORED, "1-res")
    }
    for index, row in stored.items():
        expected = feature(attributed, index)
        values = [value for example in expected[COLUMNS[0]] for value in example]
        assert row["dfa_values"] == values
        # of a feature without attributions nothing is stored
        assert row["example_dfa_positions"] == (expected[COLUMNS[1]] if values else [])
        assert row["example_dfa_lengths"] == ([len(example) for example in expected[COLUMNS[0]]] if values else [])
    assert stored[5]["dfa_values"] == [] and len(stored[6]["dfa_values"]) == 320
    assert not any(row["example_dfa_lengths"] for row in await fetch(fresh_url, STORED, "2-res"))

    async with started(fresh_url) as client:
        body = (await client.get("/api/feature/small/1-res/6")).json()
        other = (await client.get("/api/feature/small/2-res/6")).json()
    for row in body["activations"]:
        if row["binMin"] == -1:
            target = row["maxValueTokenIndex"]
            assert row["dfaTargetIndex"] == target and row["dfaMaxValue"] == 3
            assert np.flatnonzero(row["dfaValues"]).tolist() == sorted({1, target - 1, target})
            assert len(row["dfaValues"]) == len(row["tokens"])
        else:
            assert (row["dfaValues"], row["dfaTargetIndex"], row["dfaMaxValue"]) == ([], None, None)
    assert all(row["dfaValues"] == [] and row["dfaMaxValue"] is None for row in other["activations"])

    # a change of an attribution is found, and one of a row that has none
    for change in (
        "dfa_values = set_byte(dfa_values, 3, 9) WHERE index = 6 AND dfa_values <> ''",
        "example_dfa_positions = '\\x4203' WHERE index = 5",
    ):
        async with connected(fresh_url) as connection:
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            await connection.execute(f"UPDATE feature SET {change}")  # noqa: S608
            found = await verify.verify(connection, await select(connection, "small/1-res"))
            assert "the features are not the ones that were imported" in found[0].problems[0]
            await transaction.rollback()


async def test_pages_show_where_an_activation_came_from(attributed: Path, fresh_url: str, started: Start) -> None:
    await load(attributed, fresh_url)
    async with started(fresh_url) as client:
        page = (await client.get("/small/1-res/6")).text
        whole = (await client.get("/small/1-res/6/examples")).text
        others = [(await client.get(address)).text for address in ("/small/1-res/5", "/small/2-res/6")]
    for html in (page, whole):
        assert html.count("Comes from ") == 10
        assert html.count('<span class="num">3.00</span> (1 before)') == 10
        assert html.count('<span class="num">2.00</span> (itself)') == 10
        # the token before the peak has the largest attribution, the peak two thirds of it
        assert html.count(" d9") >= 10 and html.count("max d6 target") == 10
        assert "attribution 3.00" in html and "attribution -1.00" not in html.replace("−", "-").split("Comes from")[0]
    assert 'id="v-origin" checked' in page and "largest attribution" in page
    assert not any("v-origin" in html or "Comes from" in html or "attribution" in html for html in others)


async def test_an_import_of_an_export_stores_the_same_attributions(
    attributed: Path, fresh_url: str, tmp_path: Path
) -> None:
    await load(attributed, fresh_url)
    before = await fetch(fresh_url, STORED, "1-res")
    async with connected(fresh_url) as connection:
        for kind in ExportFormat:
            chosen = await select(connection, "small/res")
            await export(connection, chosen, tmp_path / kind, kind, lambda line: None)
    native, public = tmp_path / "native", tmp_path / "public"
    assert list(faults(Folder.of(native), Options())) == []
    columns = {name: pq.read_schema(native / f"{name}/features-00000.parquet").names for name in ("1-res", "2-res")}
    assert set(COLUMNS) <= set(columns["1-res"]) and not set(COLUMNS) & set(columns["2-res"])
    for row in pq.read_table(native / "1-res/features-00000.parquet").to_pylist():
        original = feature(attributed, row["index"])
        assert row[COLUMNS[0]] == original[COLUMNS[0]] and row[COLUMNS[1]] == original[COLUMNS[1]]
    to_native(Folder.of(public / "v1/small"), tmp_path / "back", Options(), lambda line: None)
    assert [line for line in diff(Folder.of(native), Folder.of(tmp_path / "back")) if isinstance(line, str)] == []
    await execute(fresh_url, "UPDATE source SET current_load_id = NULL; DELETE FROM load")
    await load(native, fresh_url)
    assert await fetch(fresh_url, STORED, "1-res") == before
    # the public layout, as it is published: columns dfaValues, dfaTargetIndex, dfaMaxValue
    await execute(fresh_url, "UPDATE source SET current_load_id = NULL; DELETE FROM load")
    await load(public / "v1/small/1-res", fresh_url, ImportOptions(metadata=METADATA, conversions=str(tmp_path / "w")))
    assert await fetch(fresh_url, STORED, "1-res") == before


async def test_a_language_model_is_shown_where_an_activation_came_from(
    attributed: Path, fresh_url: str, started: Start, autointerp_url: str, provider: LlmProvider
) -> None:
    await load(attributed, fresh_url)
    request = body(explanationType="oai_attention-head", index=6)
    async with started(fresh_url, autointerp_url=autointerp_url, autointerp_secret="theirs") as client:
        response = await client.post(GENERATE, json=request)
        assert response.status_code == 200, response.text
        refused = await client.post(GENERATE, json={**request, "index": 5})
        assert refused.status_code == 400 and "contributions" in refused.json()["error"]
        options = [(await client.get(f"/small/1-res/{index}")).text.count("oai_attention-head") for index in (6, 5)]
    # beside the form's method, the new explanation links to that of its own
    assert options[0] >= 2 and options[1] == 0
    (asked,) = provider.requests
    # the pair of the strongest contribution and the token that it is to
    user = asked.body["messages"][-1]["content"]
    assert "whale" in user and "rose" in user


METADATA = {"layers": 4, "d_model": 16, "vocabulary_size": 100}


async def test_attributions_that_no_page_could_show_are_refused(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    for name, change, problem in (
        (COLUMNS[0], lambda row: [[1.0] * 5, *row[1:]], "example_dfa_values: 5 attributions belong to an example"),
        (COLUMNS[1], lambda row: [32, *row[1:]], "example_dfa_positions: 32 is neither -1 nor a position"),
        (COLUMNS[1], lambda row: [*row[:-1], 3], "example_dfa_positions: 3 belongs to an example without"),
        (COLUMNS[0], lambda row: [[float("nan")] * 32, *row[1:]], "is not a finite number"),
    ):
        folder = tmp_path / str(abs(hash(problem)))
        manifest = write_dataset(folder, layers=(1,), features=32, attributed=(1,))
        (entry,) = manifest.source_set.sources[0].features
        table = pq.read_table(folder / entry.path)
        column = table.column(name).to_pylist()
        column[7] = change(column[7])
        number = table.schema.get_field_index(name)
        table = table.set_column(number, table.field(number), pa.array(column, table.field(number).type))
        manifest.source_set.sources[0].features = [write_table(folder, entry.path, table)]
        manifest.write(folder)
        with pytest.raises(DatasetError, match=f"row 7.*{problem}"):
            await load(folder, fresh_url)
