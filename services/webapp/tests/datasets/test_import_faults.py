"""Faulty files, disks and servers: each fault is refused with its reason, or overcome; what is shown stays."""

import asyncio
import gzip
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset import read, schema
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.public import to_public
from memicos_dataset.errors import DatasetError
from memicos_dataset.remote import retries
from memicos_dataset.write import file_entry
from memicos_testing.servers import Start
from memicos_testing.webapp.database import connected, execute, fetch, shown_rows
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.small_dataset import write_dataset
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load

SHARD = "2-res/features-00000.parquet"
BATCH = "activations/batch-0.jsonl.gz"
SHAPE = {"layers": 4, "d_model": 16, "vocabulary_size": 200}
HUGE = 10 << 30


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def note(path: Path) -> None:
    """Put the file into the manifest as it is now."""
    folder = path.parents[1]
    manifest = read.read_manifest(folder)
    source = manifest.source_set.sources[1]
    source.features = [file_entry(folder, SHARD, source.features[0].rows)]
    manifest.write(folder)


def swap_columns(path: Path) -> None:
    table = pq.read_table(path)
    names = {"density": "max_activation", "max_activation": "density"}
    pq.write_table(table.rename_columns([names.get(name, name) for name in table.column_names]), path)
    note(path)


def blow_up(path: Path) -> None:
    """A row whose list of values takes 1 GiB, and almost nothing in the file."""
    table = pq.read_table(path)
    count = read.VALUES_OF_ROW_GROUP + 1
    offsets = np.zeros(len(table) + 1, dtype=np.int32)
    offsets[1:] = count
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.zeros(count, dtype=np.int32)))
    place = table.column_names.index("correlated_indices")
    pq.write_table(table.set_column(place, schema.FEATURES.field("correlated_indices"), lists), path)
    note(path)


NATIVE: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated file": (truncate, rf"{SHARD}: has \d+ bytes, expected \d+; fetch the dataset again"),
    "flipped byte": (flip, f"{SHARD}: sha256 is"),
    "missing shard": (Path.unlink, f"{SHARD}: listed in the manifest but missing"),
    "swapped columns": (swap_columns, f"{SHARD}.*column density.*is not a share from 0 to 1"),
}


def endless_line(path: Path) -> None:
    """10 GiB, which take no space on the disk."""
    path.unlink()
    with path.with_suffix("").open("wb") as file:
        file.truncate(HUGE)


def bomb(path: Path) -> None:
    """A file of 1 MB that decompresses to 1 GiB."""
    path.write_bytes(gzip.compress(bytes(1 << 20)) * 1024)


PUBLIC: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated file": (truncate, r"batch-0.jsonl.gz: cannot be read after line \d+ .*fetch the file again"),
    "flipped byte": (flip, r"batch-0.jsonl.gz: (cannot be read after )?line \d+"),
    "endless line": (endless_line, "line 1 is longer than 8388608 bytes"),
    "compression bomb": (bomb, "line 1 is longer than 8388608 bytes"),
}


async def test_faulty_native_datasets_are_refused(own_url: str, started: Start, tmp_path: Path) -> None:
    before = await shown_rows(own_url)
    async with started(own_url) as client:
        for name, (damage, message) in NATIVE.items():
            folder = tmp_path / name
            write_dataset(folder, seed=1)
            damage(folder / SHARD)
            with pytest.raises(DatasetError, match=message):
                await load(folder, own_url)
            assert await shown_rows(own_url) == before, name
            assert (await client.get("/small/2-res/3")).status_code == 200, name


@pytest.mark.slow
async def test_a_small_file_of_many_values_is_refused(own_url: str, tmp_path: Path) -> None:
    before = await shown_rows(own_url)
    write_dataset(tmp_path, seed=1)
    blow_up(tmp_path / SHARD)
    assert (tmp_path / SHARD).stat().st_size < 1 << 20
    with pytest.raises(DatasetError, match=r"268,435,520 values of correlated_indices.*write smaller row groups"):
        await load(tmp_path, own_url)
    assert await shown_rows(own_url) == before


@pytest.fixture(scope="module")
def public(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    to_public(small_dataset, folder / "public", Options(), lambda line: None)
    return folder / "public" / "v1" / "small" / "2-res"


async def test_faulty_sources_of_the_public_layout_are_refused(
    own_url: str, started: Start, public: Path, tmp_path: Path
) -> None:
    before = await shown_rows(own_url)
    options = ImportOptions(conversions=str(tmp_path / "conversions"), metadata=SHAPE, ignore_space=True)
    async with started(own_url) as client:
        for name, (damage, message) in PUBLIC.items():
            folder = tmp_path / name / "small" / "2-res"
            shutil.copytree(public, folder)
            damage(folder / BATCH)
            with pytest.raises(DatasetError, match=message):
                await load(folder, own_url, options)
            assert await shown_rows(own_url) == before, name
            assert (await client.get("/small/2-res/3")).status_code == 200, name
    assert list((tmp_path / "conversions").iterdir()) == []


class Flaky(SimpleHTTPRequestHandler):
    """Every other answer is 503, or breaks off."""

    seen: set[str]
    way: str

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        first = self.path not in self.seen
        self.seen.add(self.path)
        path = Path(self.translate_path(self.path))
        if self.way == "forbidden":
            self.send_error(403)
        elif (self.way == "busy" and first) or self.way == "always busy":
            self.send_error(503)
        elif path.is_file() and ((self.way == "half" and first) or self.way == "always half"):
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            super().do_GET()


@contextmanager
def flaky_server(folder: Path, way: str) -> Iterator[str]:
    handler = partial(type("Own", (Flaky,), {"seen": set(), "way": way}), directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("way", ["busy", "half"])
async def test_an_import_overcomes_a_server_that_fails_for_a_moment(
    fresh_url: str, public: Path, tmp_path: Path, way: str
) -> None:
    options = ImportOptions(conversions=str(tmp_path / "conversions"), metadata=SHAPE)
    with flaky_server(public.parents[1], way) as url:
        await load(f"{url}/small/2-res", fresh_url, options)
    (row,) = await fetch(fresh_url, "SELECT count(*) FROM feature")
    assert row["count"] == 64


@pytest.mark.parametrize(
    ("way", "message"),
    [("forbidden", "403"), ("always busy", "503"), ("always half", "cannot be read after line|ContentLength|payload")],
)
async def test_a_server_that_does_not_answer_is_named(
    own_url: str, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, message: str
) -> None:
    monkeypatch.setattr(retries, "READ_PATIENCE_SECONDS", 0.3)
    before = await shown_rows(own_url)
    options = ImportOptions(conversions=str(tmp_path / "conversions"), metadata=SHAPE)
    with flaky_server(public.parents[1], way) as url, pytest.raises(DatasetError, match=message) as refused:
        await load(f"{url}/small/2-res", own_url, options)
    assert url in str(refused.value)
    assert await shown_rows(own_url) == before


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 2 MB, in a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        disk = Path(folder) / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
        try:
            yield disk
        finally:
            subprocess.run(["umount", disk], check=True)


def give(folder: Path, like: Path) -> None:
    """Make the owner of `like` the owner of a folder."""
    owner = like.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)


async def test_a_full_disk_ends_a_conversion(own_url: str, small_disk: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "native", features=2048)
    to_public(tmp_path / "native", tmp_path / "public", Options(), lambda line: None)
    source = tmp_path / "public" / "v1" / "small" / "2-res"
    before = await shown_rows(own_url)
    with pytest.raises(DatasetError, match=r"needs .* GiB in .*disk.*--ignore-space"):
        await load(source, own_url, ImportOptions(conversions=str(small_disk), metadata=SHAPE))
    options = ImportOptions(conversions=str(small_disk), metadata=SHAPE, ignore_space=True)
    with pytest.raises(DatasetError, match=r"disk: the conversion cannot be written .*No space left on device"):
        await load(source, own_url, options)
    assert await shown_rows(own_url) == before
    assert not await asyncio.to_thread(lambda: list(small_disk.iterdir()))


async def test_a_full_disk_of_the_database_ends_an_import(
    server_url: str, small_disk: Path, small_dataset: Path, tmp_path: Path
) -> None:
    async with connected(server_url) as connection:
        await asyncio.to_thread(give, small_disk, Path(str(await connection.fetchval("SHOW data_directory"))))
        # every folder above has to be entered by PostgreSQL's user
        await connection.execute(f"CREATE TABLESPACE full_disk LOCATION '{small_disk}'")
        try:
            await connection.execute("CREATE DATABASE of_full_disk")
            url = server_url.replace("/postgres?", "/of_full_disk?")
            await migrate(url)
            await load(small_dataset, url)
            before = await shown_rows(url)
            # of the rows of features that are added now
            await execute(url, "ALTER TABLE feature SET TABLESPACE full_disk")
            write_dataset(tmp_path / "large", features=2048)
            with pytest.raises(asyncpg.DiskFullError, match="No space left on device"):
                await load(tmp_path / "large", url)
            assert await shown_rows(url) == before
            (job,) = await fetch(url, "SELECT state::text, error FROM job WHERE state <> 'done'")
            assert job["state"] == "failed" and "No space left on device" in job["error"]
        finally:
            await connection.execute("DROP DATABASE IF EXISTS of_full_disk WITH (FORCE)")
            await connection.execute("DROP TABLESPACE full_disk")


@pytest.mark.parametrize(
    ("table", "function"),
    [("document", "pg_cancel_backend"), ("document", "pg_terminate_backend"), ("source", "pg_cancel_backend")],
)
async def test_an_import_whose_statistics_fail_is_complete(
    fresh_url: str, small_dataset: Path, caplog: pytest.LogCaptureFixture, table: str, function: str
) -> None:
    async with connected(fresh_url) as other, other.transaction():
        # which ANALYZE waits for, and nothing else of an import
        await other.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
        importing = asyncio.create_task(load(small_dataset, fresh_url))

        async def ended() -> bool:
            statement = f"""SELECT {function}(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE 'ANALYZE%' AND wait_event_type = 'Lock'"""  # noqa: S608
            return len(await fetch(fresh_url, statement)) > 0

        await until(ended)
        assert (await importing).loaded
    assert "the planner's statistics of the import could not be updated" in caplog.text
    assert len(await shown_rows(fresh_url)) == 3
    assert [row["state"] for row in await fetch(fresh_url, "SELECT state::text FROM job")] == ["done"]
