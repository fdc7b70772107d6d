"""The server imports a published dataset from a local S3, also one of more objects than a page of a listing has."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from memicos_dataset.folder import Folder
from memicos_dataset.read import features, read_manifest
from memicos_dataset.remote.publish import PublishOptions, publish
from memicos_testing.s3_server import S3Server, s3_server
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_testing.webapp.small_dataset import write_dataset
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.database.packed_numbers import unpack
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import IMPORT, add_import
from memicos_webapp.stored_sources import verify
from memicos_webapp.stored_sources.selection import select

BUCKET = "published"
MODEL = f"s3://{BUCKET}/v1/small"
MORE_OBJECTS = 2500
IMPORT_SECONDS = 600
"""Longest time of an import on a busy machine."""
VALUES = """SELECT index, max_activation, values FROM feature JOIN source ON source.current_load_id = load_id
            WHERE source.name = '1-res' ORDER BY index"""

pytestmark = pytest.mark.slow


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with s3_server(monkeypatch, BUCKET) as started:
        yield started


@pytest.fixture
async def database() -> AsyncIterator[str]:
    with temporary() as url:
        await migrate(url)
        yield url


async def check_imported(database: str, location: str, dataset: Path, conversions: Path) -> None:
    """Import a source from the bucket as a server does; it is complete, verified, and equal to the dataset's."""
    options = ImportOptions(roots=f"s3://{BUCKET}", conversions=str(conversions), metadata={"vocabulary_size": 1000})
    async with connected(database) as connection:
        job = await add_import(connection, location, options)

    async def ended() -> bool:
        (row,) = await fetch(database, "SELECT state FROM job WHERE id = $1", job)
        return row["state"] in ("failed", "done")

    async with worker(database, IMPORT, attempts=1):
        await until(ended, IMPORT_SECONDS)
    (row,) = await fetch(database, "SELECT state, error FROM job WHERE id = $1", job)
    assert (row["state"], row["error"]) == ("done", None)
    async with connected(database) as connection:
        found = await verify.verify(connection, await select(connection, "small/1-res"))
    assert [(result.name, result.problems) for result in found] == [("small/1-res", [])]
    source = read_manifest(dataset).source_set.sources[0]
    expected = [row for batch in features(dataset, source) for row in batch.to_pylist()]
    stored = await fetch(database, VALUES)
    assert [row["index"] for row in stored] == [row["index"] for row in expected]
    for row, own in zip(stored, expected, strict=True):
        assert row["max_activation"] == pytest.approx(own["max_activation"], rel=1e-6)
        assert sorted(unpack(row["values"])) == pytest.approx(
            sorted(value for values in own["values"] for value in values)
        )


async def test_a_published_source_of_2500_objects_is_imported(server: S3Server, database: str, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    write_dataset(dataset, layers=(1,), features=48)
    options = PublishOptions(work=tmp_path / "work")
    await asyncio.to_thread(
        publish, Folder.of(dataset), Folder.of(f"s3://{BUCKET}"), options, lambda line: None, lambda sent: None
    )
    await check_imported(database, MODEL, dataset, tmp_path / "conversions")

    # the same rows, in as many objects; without the list of files, as other programs publish
    def divide() -> None:
        system = server.file_system()
        folder = f"{BUCKET}/v1/small/1-res"
        system.rm_file(f"{folder}/files.jsonl")
        place = f"{folder}/activations/batch-0.jsonl.gz"
        rows = gzip.decompress(system.cat_file(place)).splitlines(keepends=True)
        parts = {
            f"{folder}/activations/batch-{number}.jsonl.gz": gzip.compress(b"".join(rows[number::MORE_OBJECTS]))
            for number in range(MORE_OBJECTS)
        }
        assert len(rows) > 0 and json.loads(rows[0])["layer"] == "1-res"
        # as many at the same time as the server can answer
        system.pipe(parts, batch_size=16)
        assert len(Folder.of(f"s3://{folder}/activations").names()) == MORE_OBJECTS

    await asyncio.to_thread(divide)
    await check_imported(database, f"{MODEL}/1-res", dataset, tmp_path / "conversions-2")
