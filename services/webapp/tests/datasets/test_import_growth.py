"""Imports of datasets with columns and keys of newer minor versions, and of converted datasets without some figures."""

import asyncio
import json
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
from memicos_dataset.manifest import FILE_NAME, MAJOR, MINOR, Manifest
from memicos_dataset.write import write_table
from memicos_testing.servers import Start
from memicos_testing.webapp.database import shown_rows
from memicos_testing.webapp.small_dataset import remove_vocabulary_size
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load


async def test_a_dataset_of_a_newer_minor_version_is_imported(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest], started: Start
) -> None:
    manifest = write_dataset(tmp_path, layers=(1,), features=32)
    source = manifest.source_set.sources[0]
    assert source.explanations is not None
    for entry in [*source.features, *manifest.corpus.context_files, manifest.corpus.documents]:
        table = pq.read_table(tmp_path / entry.path)
        # before the other columns, whose order has no meaning
        table = table.add_column(0, "novel", pa.nulls(len(table)))
        new = write_table(tmp_path, entry.path, table)
        entry.bytes, entry.sha256 = new.bytes, new.sha256
    manifest.corpus.token_ids = "dataset"
    content = json.loads(manifest.model_dump_json()) | {"version": f"{MAJOR}.{MINOR + 1}", "novel": {}}
    for part in (content["release"], content["model"], content["corpus"], content["source_set"]["sources"][0]):
        part["novel"] = "kept"
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    report = await load(tmp_path, fresh_url)
    assert report.features == 32 and len(await shown_rows(fresh_url)) > 0
    # numbers of the dataset are not shown as ids of the tokenizer
    async with started(fresh_url) as client:
        activations = (await client.get("/api/feature/small/1-res/3")).json()["activations"]
    assert {(len(row["tokens"]), row["tokenIds"]) for row in activations} == {(32, None)}


async def test_a_dataset_that_does_not_say_the_shape_of_its_model_is_refused(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path, layers=(1,))
    manifest.model.layers = manifest.model.vocabulary_size = None
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match=r"does not say layers, vocabulary_size; .* --layers N --vocabulary-size N"):
        await load(tmp_path, fresh_url)


async def test_a_publication_of_memicos_says_the_shape_of_its_model(
    fresh_url: str, small_dataset: Path, tmp_path: Path
) -> None:
    model = to_public(small_dataset, tmp_path / "public", Options(), lambda line: None).model
    options = ImportOptions(conversions=str(tmp_path / "conversions"))
    report = await load(tmp_path / "public/v1" / model.id, fresh_url, options)
    stored = report.manifest.model
    assert (stored.layers, stored.d_model, stored.vocabulary_size) == (
        model.layers, model.d_model, model.vocabulary_size,
    )  # fmt: skip


async def test_a_shape_that_nobody_says_is_refused_before_a_conversion(
    fresh_url: str, small_dataset: Path, tmp_path: Path
) -> None:
    model = to_public(small_dataset, tmp_path / "public", Options(), lambda line: None).model
    remove_vocabulary_size(tmp_path / "public")
    # where the rows would be refused as well, were they read
    batch = next((tmp_path / "public").glob("v1/*/*/features/batch-0.jsonl.gz"))
    batch.write_bytes(b"no gzip")
    options = ImportOptions(conversions=str(tmp_path / "conversions"), metadata={"layers": 3})
    folder = tmp_path / "public/v1" / model.id
    with pytest.raises(DatasetError, match=r"does not say vocabulary_size; .* --vocabulary-size N"):
        await load(folder, fresh_url, options)
    for figures, status in ([], 1), (["--vocabulary-size", "64"], 0):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "memicos_webapp.datasets.commands", "--plan", *figures, str(folder),
            env={**os.environ, "DATABASE_URL": fresh_url}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        lines = (await process.communicate())[0].decode()
        assert process.returncode == status and "small/res, public" in lines
        assert ("would be refused: model: the dataset does not say vocabulary_size; " in lines) == bool(status)
