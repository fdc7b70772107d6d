"""Reading a dataset checks it against its manifest; each error names the file and the remedy."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from memicos_dataset import manifest as m
from memicos_dataset import schema
from memicos_dataset.errors import DatasetError
from memicos_dataset.read import contexts, documents, explanations, features, read_manifest, verify
from memicos_dataset.write import write_table

DEMO = Path(__file__).parents[3] / "demo" / "dataset"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One feature that never fires, over one context."""
    row: dict[str, Any] = {field.name: [] for field in schema.FEATURES}
    row |= {"index": 0, "density": 0.0, "active_tokens": 0, "max_activation": 0.0, "logit_min": 0.0, "logit_max": 0.0}
    corpus = m.Corpus(
        id="tiny",
        description="one window",
        contexts=1,
        context_size=3,
        tokens=2,
        collections=[m.Collection(name="book", license="CC0-1.0", url="https://example.org", attribution="a")],
        documents=write_table(
            tmp_path,
            "corpus/documents.parquet",
            pa.Table.from_pylist([{"document": 0, "title": "t", "collection": "book"}], schema=schema.DOCUMENTS),
        ),
        vocabulary=write_table(
            tmp_path,
            "corpus/vocabulary.parquet",
            pa.Table.from_pydict({"token_id": [1, 2], "token": ["a", "b"]}, schema=schema.VOCABULARY),
        ),
        context_files=[
            write_table(
                tmp_path,
                "corpus/contexts-00000.parquet",
                pa.Table.from_pylist([{"context": 0, "document": 0, "token_ids": [1, 2, 2]}], schema=schema.CONTEXTS),
            )
        ],
    )
    source = m.Source(
        id="0-res",
        layer=0,
        recipe=m.Recipe(
            hook_name="blocks.0.hook_resid_post",
            prepend_bos=True,
            context_size=3,
            ignored_positions=[0],
            norm_cut=None,
            dtype="float32",
            weight_processing="none",
        ),
        architecture="jumprelu",
        d_in=4,
        d_sae=1,
        sae_config={},
        counted_tokens=2,
        dead_features=1,
        logit_effect="none",
        features=[
            write_table(tmp_path, "0-res/features-00000.parquet", pa.Table.from_pylist([row], schema=schema.FEATURES))
        ],
    )
    m.Manifest(
        release=m.Release(id="r", name="R", description="d", creator="c"),
        model=m.Model(
            id="small", name="S", layers=1, d_model=4, vocabulary_size=3, chat=False, origin="random", license="MIT"
        ),
        source_set=m.SourceSet(id="res", name="Res", description="d", sources=[source]),
        corpus=corpus,
    ).write(tmp_path)
    return tmp_path


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / m.FILE_NAME
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_written_dataset_is_read_back(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    verify(dataset, manifest)
    (batch,) = contexts(dataset, manifest)
    assert batch.column("token_ids").to_pylist() == [[1, 2, 2]]
    (batch,) = features(dataset, manifest.source_set.sources[0])
    assert batch.num_rows == 1 and batch.schema.names == schema.FEATURES.names


COLLECTION = {"name": "n", "license": "l", "attribution": "a"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=2), "version"),
        (lambda c: c.update(format="other"), "format"),
        (lambda c: c["corpus"]["documents"].update(path="../outside.parquet"), "corpus.documents.path"),
        (lambda c: c["corpus"]["documents"].update(path="/etc/passwd"), "corpus.documents.path"),
        (lambda c: c["corpus"]["documents"].update(sha256="0"), "corpus.documents.sha256"),
        (lambda c: c["model"].pop("origin"), "model.origin"),
        (lambda c: c.update(extra=1), "extra"),
        (lambda c: c["model"].update(url="javascript:alert(1)"), "model.url"),
        (lambda c: c["release"].update(url="JavaScript:alert(1)//https://example.org"), "release.url"),
        (lambda c: c["release"].update(url="//example.org"), "release.url"),
        (lambda c: c["release"].update(url="https://"), "release.url"),
        (lambda c: c["corpus"]["collections"].append(COLLECTION | {"url": "data:text/html,x"}), "collections.*url"),
    ],
)
def test_a_wrong_manifest_is_refused(dataset: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    changed(dataset, change)
    with pytest.raises(DatasetError, match=message) as refused:
        read_manifest(dataset)
    assert refused.value.path == dataset / m.FILE_NAME


def test_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_manifest(tmp_path)


def test_a_file_that_differs_is_named(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    path = dataset / "0-res/features-00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"sha256 is .* fetch the dataset again") as refused:
        verify(dataset, manifest)
    assert refused.value.path == path
    path.write_bytes(content[:-1])
    with pytest.raises(DatasetError, match=f"has {len(content) - 1} bytes, expected {len(content)}"):
        verify(dataset, manifest)
    path.unlink()
    with pytest.raises(DatasetError, match="missing"):
        verify(dataset, manifest)


def test_other_columns_or_rows_are_refused(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    source = manifest.source_set.sources[0]
    entry = source.features[0]
    changed = source.model_copy(update={"features": [entry.model_copy(update={"rows": 2})]})
    with pytest.raises(DatasetError, match="has 1 row, the manifest says 2"):
        list(features(dataset, changed))
    write_table(dataset, entry.path, pa.table({"index": pa.array([0], pa.int32())}))
    with pytest.raises(DatasetError, match="columns"):
        list(features(dataset, source))
    (dataset / entry.path).write_bytes(b"PAR1 no table")
    with pytest.raises(DatasetError, match="not a readable Parquet file"):
        list(features(dataset, source))


def test_the_same_rows_give_the_same_bytes(dataset: Path) -> None:
    table = pa.Table.from_pydict({"token_id": [1, 2], "token": ["a", "b"]}, schema=schema.VOCABULARY)
    assert write_table(dataset, "corpus/vocabulary.parquet", table) == read_manifest(dataset).corpus.vocabulary


def test_paths_that_the_system_cannot_look_up_are_named(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in (("x" * 990, "File name too long"), ("loop", "symbolic links")):
        with pytest.raises(DatasetError, match=f"cannot be read .*{reason}"):
            read_manifest(tmp_path / name)
    file = dataset / read_manifest(dataset).corpus.vocabulary.path
    file.unlink()
    file.symlink_to("x" * 990)
    with pytest.raises(DatasetError, match=f"{file}: cannot be read .File name too long"):
        verify(dataset, read_manifest(dataset))


def test_the_demo_dataset_is_complete() -> None:
    manifest = read_manifest(DEMO)
    verify(DEMO, manifest)
    assert sum(entry.bytes for entry in manifest.files()) <= 16 * 2**20
    assert manifest.corpus.tokens >= 1_000_000
    for source in manifest.source_set.sources:
        indices, full = [], 0
        for batch in features(DEMO, source):
            indices += batch.column("index").to_pylist()
            for groups, positions in zip(
                batch.column("example_groups").to_pylist(), batch.column("example_contexts").to_pylist(), strict=True
            ):
                top_positions = {
                    position for group, position in zip(groups, positions, strict=True) if group == schema.TOP_GROUP
                }
                full += len(top_positions) >= 10
        assert indices == list(range(4096))
        assert full >= 0.85 * 4096


def test_labels_and_titles_of_the_demo_are_readable() -> None:
    manifest = read_manifest(DEMO)
    for source in manifest.source_set.sources:
        labels = [text for batch in explanations(DEMO, source) for text in batch.column("description").to_pylist()]
        promoting = [text.split("; promotes ")[1] for text in labels if "; promotes " in text]
        assert len(promoting) > 100
        # no blank at either end of a quoted word
        assert not [text for text in promoting if re.search(r"(^|[ ,])' | '($|,)", text)]
    rows = [row for batch in documents(DEMO, manifest) for row in batch.to_pylist()]
    titles = [row["title"] for row in rows if row["collection"] == "State of the Union addresses"]
    assert {"Richard Nixon, 1970", "Ulysses S. Grant, 1874", "William McKinley, 1898"} <= set(titles)
    assert len(titles) > 200 and all(re.fullmatch(r"([A-Z]\w*\.? )+[A-Z]\w+, \d{4}", title) for title in titles)
