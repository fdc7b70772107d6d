"""The format grows: newer minor versions, optional and unknown columns are read and kept; newer majors are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset import manifest as m
from memicos_dataset import read, schema
from memicos_dataset.checks.rows import ContextCheck, FeatureCheck, check_manifest
from memicos_dataset.errors import DatasetError
from memicos_dataset.write import ROW_GROUP_ROWS, write_table
from memicos_testing.webapp.small_dataset import write_dataset

DOCUMENT = Path(__file__).parents[3] / "docs" / "dataset.md"
HEADER = "| column | type | shape | unit | |"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(tmp_path, layers=(1,), features=16, contexts=8)
    return tmp_path


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / m.FILE_NAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def with_columns(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the columns of the feature file, and its entry in the manifest."""
    path = "1-res/features-00000.parquet"
    entry = write_table(folder, path, change(pq.read_table(folder / path)))
    changed(folder, lambda content: content["source_set"]["sources"][0].update(features=[entry.model_dump()]))


def check_rows(folder: Path) -> pa.RecordBatch:
    """The features, after all checks that an import makes."""
    manifest = read.read_manifest(folder)
    check_manifest(folder, manifest)
    contexts = ContextCheck(manifest, range(10), range(100))
    for batch in read.context_batches(folder, manifest):
        contexts.check(batch)
    (batch,) = read.feature_batches(folder, manifest.source_set.sources[0])
    FeatureCheck(manifest.source_set.sources[0], contexts.lengths, range(100)).check(batch)
    return batch.rows


def add(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.append_column(name, values)


def test_unknown_and_optional_columns_are_read_and_kept(dataset: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        table = table.select(table.schema.names[::-1])  # the order of columns has no meaning
        table = table.append_column("novel", pa.array([None, {"x": 1.0}] * 8))
        table = table.append_column("nan", pa.array([float("nan")] * 16, pa.float32()))
        return table.append_column("decoder_vector", pa.array([[1.0, 2.0]] * 16, pa.list_(pa.float32())))

    with_columns(dataset, change)
    rows = check_rows(dataset)
    assert rows.schema.names == [*schema.FEATURES.names, "decoder_vector", "novel", "nan"]
    assert rows.column("novel").to_pylist()[1] == {"x": 1.0}
    assert rows.column("decoder_vector").to_pylist()[3] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["density"]), "lacks the columns density"),
        (add("decoder_vector", pa.array([1] * 16)), r"column decoder_vector of type int64, expected list<.*float>"),
        (add("density", pa.array([1.0] * 16)), "columns of the same name"),
        (add("decoder_vector", pa.array([None] * 16, pa.list_(pa.float32()))), "column decoder_vector: has a null"),
        (add("decoder_vector", pa.array([[float("inf")]] * 16, pa.list_(pa.float32()))), "inf is not a finite number"),
        (
            add("example_dfa_positions", pa.array([[1] * 99] * 16, pa.list_(pa.int16()))),
            "example_dfa_positions: has 99 entries",
        ),
    ],
)
def test_wrong_columns_are_refused(dataset: Path, change: Callable[[pa.Table], pa.Table], message: str) -> None:
    with_columns(dataset, change)
    with pytest.raises(DatasetError, match=message):
        check_rows(dataset)


def test_a_reader_of_single_columns_names_the_file_that_lacks_one(dataset: Path) -> None:
    with_columns(dataset, lambda table: table.drop_columns(["density"]))
    (source,) = read.read_manifest(dataset).source_set.sources
    with pytest.raises(DatasetError, match=r"features-00000\.parquet: lacks the columns density; it has columns index"):
        list(read.feature_columns(dataset, source, ("index", "density", "example_dfa_values")))
    # a column that is optional may be missing
    (rows,) = read.feature_columns(dataset, source, ("index", "example_dfa_values"))
    assert rows.schema.names == ["index"] and len(rows) == 16


def test_the_manifest_of_a_newer_minor_version_is_read_and_kept(dataset: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["version"] = f"{m.MAJOR}.{m.MINOR + 1}"
        content["novel"] = {"key": 1}
        content["model"]["novel"] = [1]
        content["corpus"]["collections"][0]["novel"] = "text"

    changed(dataset, change)
    manifest = read.read_manifest(dataset)
    content = json.loads(manifest.model_dump_json())
    assert content["novel"] == {"key": 1} and content["model"]["novel"] == [1]
    assert content["corpus"]["collections"][0]["novel"] == "text"


@pytest.mark.parametrize("version", [1, "1.0", m.VERSION])
def test_versions_that_are_known_are_read_and_have_no_other_keys(dataset: Path, version: object) -> None:
    changed(dataset, lambda content: content.update(version=version))
    assert read.read_manifest(dataset).version == ("1.0" if version == 1 else version)
    changed(dataset, lambda content: content["corpus"]["collections"][1].update(novel=1))
    with pytest.raises(DatasetError, match=r"has no keys corpus\.collections\.1\.novel"):
        read.read_manifest(dataset)


@pytest.mark.parametrize("version", [2, "2.0", "13.1"])
def test_a_newer_major_version_is_refused_with_the_reason(dataset: Path, version: object) -> None:
    changed(dataset, lambda content: (content.update(version=version), content.pop("model")))
    with pytest.raises(DatasetError, match=rf"version {version} of the format is newer than 1\.\d+.*update memicos"):
        read.read_manifest(dataset)


@pytest.mark.parametrize("version", [True, None, "", "1", "1.x", "-1.0", 1.5, "1.0.0"])
def test_a_malformed_version_is_refused(dataset: Path, version: object) -> None:
    changed(dataset, lambda content: content.update(version=version))
    with pytest.raises(DatasetError, match="version"):
        read.read_manifest(dataset)


def test_files_have_row_groups_of_bounded_size(tmp_path: Path) -> None:
    rows = 2 * ROW_GROUP_ROWS + 1
    table = pa.Table.from_pydict(
        {"token_id": range(rows), "token": [str(i) for i in range(rows)]}, schema=schema.VOCABULARY
    )
    write_table(tmp_path, "vocabulary.parquet", table)
    metadata = pq.ParquetFile(tmp_path / "vocabulary.parquet").metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sizes == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 1]
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def documented_tables() -> str:
    """The tables of docs/dataset.md, made from the schema."""
    parts = []
    for name, table in schema.TABLES.items():
        lines = [f"`{name}`:", "", HEADER, "|---|---|---|---|---|"]
        for column in table.columns:
            kind = str(column.type).replace("element", "item").replace("item: ", "").replace("float", "float32")
            kind = kind.replace("double", "float64")
            marks = ("optional; " if column.optional else "") + ("may be null; " if column.nullable else "")
            marks += "entries may be null; " if column.null_entries else ""
            shape = ", ".join(column.shape)
            lines.append(f"| `{column.name}` | {kind} | {shape} | {column.unit} | {marks}{column.meaning} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def test_the_document_lists_every_column() -> None:
    assert documented_tables() in DOCUMENT.read_text()
