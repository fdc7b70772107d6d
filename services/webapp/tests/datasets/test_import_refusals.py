"""Datasets that an import refuses, and the message of the command."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_dataset.read import read_manifest
from memicos_dataset.write import write_table
from memicos_testing.servers import Start
from memicos_testing.webapp.database import execute, fetch, shown_rows
from memicos_webapp.database.packed_numbers import pack_integers, unpack
from memicos_webapp.datasets.service import load


def corrupt(folder: Path, path: str, row: int, changes: dict[str, object]) -> None:
    """Change a row of a file of a dataset, and its entry in the manifest with it."""
    table = pq.read_table(folder / path)
    rows = table.to_pylist()
    rows[row] |= changes
    manifest = read_manifest(folder)
    entry = next(entry for entry in manifest.files() if entry.path == path)
    new = write_table(folder, path, pa.Table.from_pylist(rows, schema=table.schema))
    entry.bytes, entry.sha256 = new.bytes, new.sha256
    manifest.write(folder)


@pytest.mark.parametrize(
    ("path", "row", "changes", "problem"),
    [
        ("corpus/documents.parquet", 3, {"document": 0}, "column document: 0 occurs twice"),
        ("corpus/vocabulary.parquet", 9, {"token_id": 3}, "column token_id: 3 occurs twice"),
        ("corpus/contexts.parquet", 39, {"context": 57}, "column context: 57 is not a number from 0 to 39"),
        ("2-res/features-00001.parquet", 30, {"example_groups": [9]}, "column example_contexts: has"),
        ("2-res/features-00001.parquet", 31, {"density": float("nan")}, "column density: nan is not a finite"),
        ("3-res/explanations.parquet", 7, {"index": 64}, "column index: 64 is not the index of a feature"),
    ],
)
async def test_a_row_that_pages_could_not_show_is_refused(
    own_url: str,
    tmp_path: Path,
    write_dataset: Callable[..., Manifest],
    path: str,
    row: int,
    changes: dict[str, object],
    problem: str,
) -> None:
    manifest = write_dataset(tmp_path, seed=5)
    two_shards(tmp_path, manifest)
    before = await shown_rows(own_url)
    corrupt(tmp_path, path, row, changes)
    with pytest.raises(DatasetError) as refused:
        await load(tmp_path, own_url)
    assert str(refused.value).startswith(f"{tmp_path}/{path}: row {row}, {problem}")
    assert await shown_rows(own_url) == before


def two_shards(folder: Path, manifest: Manifest) -> None:
    for source in manifest.source_set.sources:
        table = pq.read_table(folder / source.features[0].path)
        source.features = [
            write_table(folder, f"{source.id}/features-{shard:05d}.parquet", table.slice(32 * shard, 32))
            for shard in (0, 1)
        ]
    manifest.write(folder)


async def test_page_and_api_leave_out_the_same_examples_of_an_older_import(own_url: str, started: Start) -> None:
    """Versions before these rules accepted such datasets."""
    async with started(own_url) as client:
        address = "small/2-res/3"
        before = (await client.get(f"/api/feature/{address}")).json()["activations"]
        own = "index = 3 AND load_id = (SELECT current_load_id FROM source WHERE name = '2-res')"
        for example, (column, value) in enumerate(
            (("example_contexts", 999), ("example_positions", 900), ("example_groups", 9))
        ):
            (row,) = await fetch(own_url, f"SELECT {column} AS packed FROM feature WHERE {own}")  # noqa: S608
            numbers = unpack(row["packed"])
            numbers[example] = value
            change = f"UPDATE feature SET {column} = $1 WHERE {own}"  # noqa: S608
            await execute(own_url, change, pack_integers(numbers))
        response = await client.get(f"/api/feature/{address}")
        assert response.status_code == 200
        left_out = {row["id"] for row in before} - {row["id"] for row in response.json()["activations"]}
        assert {int(example.rpartition("-")[2]) for example in left_out} == {0, 1, 2}
        page = await client.get(f"/{address}")
        assert page.status_code == 200
        # the remaining strongest examples are shown above the intervals
        top = [row for row in response.json()["activations"] if row["binMin"] == -1]
        assert f"({len(top)} of " in page.text


async def test_the_command_prints_one_line_on_error(fresh_url: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memicos_webapp.datasets.commands", str(tmp_path),
        env={**os.environ, "DATABASE_URL": fresh_url}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().splitlines() == [
        f"import: {tmp_path}/manifest.json: no such file; is this the folder of a memicos dataset?"
    ]


async def test_a_link_out_of_the_folder_is_followed_only_where_that_is_asked_for(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    write_dataset(tmp_path / "data", layers=(1,))
    contexts = tmp_path / "data/corpus/contexts.parquet"
    contexts.rename(tmp_path / "outside")
    contexts.symlink_to(tmp_path / "outside")
    for options in ([], ["--background"], ["--plan"], ["--follow-links"]):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "memicos_webapp.datasets.commands", *options, str(tmp_path / "data"),
            env={**os.environ, "DATABASE_URL": fresh_url}, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
        if options == ["--follow-links"]:
            assert process.returncode == 0, errors
        else:
            assert process.returncode == 1
            (line,) = errors.decode().splitlines()
            assert line.startswith(
                f"import: {contexts}: is a link to {tmp_path}/outside, outside of the dataset's folder"
            )
