"""Exports of stored sources: an import of an export stores the same; the download is a complete archive."""

import errno
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset.conversion.conversion_folder import Options
from memicos_dataset.conversion.diff import diff
from memicos_dataset.conversion.inspect import faults
from memicos_dataset.conversion.native import to_native
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import Manifest
from memicos_dataset.schema import REQUEST_COLUMNS
from memicos_dataset.write import write_table
from memicos_testing.servers import Start
from memicos_testing.webapp.database import connected, execute, fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_webapp.datasets.service import load
from memicos_webapp.datasets.stored_rows.verification import problems, shown_loads
from memicos_webapp.errors import Conflict, InsufficientStorage
from memicos_webapp.jobs import service as job_service
from memicos_webapp.stored_sources.export import ExportFormat, export, write_errors
from memicos_webapp.stored_sources.export_job import EXPORT
from memicos_webapp.stored_sources.selection import select

REQUEST = ", ".join(REQUEST_COLUMNS)
CONTENT = (
    """SELECT source.name, feature.*, 0 AS load_id FROM feature JOIN source ON source.current_load_id = load_id
       ORDER BY source.name, feature.index""",
    "SELECT number, document, token_ids FROM context ORDER BY number",
    "SELECT number, title, collection FROM document ORDER BY number",
    "SELECT token_id, token FROM vocabulary ORDER BY token_id",
    f"""SELECT source.name, index, description, method, model, {REQUEST}
       FROM explanation e JOIN source ON source.id = e.source_id
       WHERE author_id IS NULL ORDER BY source.name, index, description""",  # noqa: S608 (constants)
    f"""SELECT source.name, e.index, s.method, s.model, s.value, s.low, s.high, s.reason, s.text_contexts,
         s.text_positions, s.text_distances, s.text_answers, s.text_details,
         {", ".join(f"s.{name}" for name in REQUEST_COLUMNS)}
       FROM score s JOIN explanation e ON e.id = s.explanation_id JOIN source ON source.id = e.source_id
       ORDER BY source.name, e.index, e.description""",  # noqa: S608 (constants)
    """SELECT name, layer, features, dead_features, counted_tokens, architecture, d_in, d_sae, logit_effect, recipe,
         sae_config, residual_norm FROM load JOIN source ON source.current_load_id = load.id ORDER BY name""",
    "SELECT * FROM model",
    "SELECT id, name, description, creator, url FROM release",
    "SELECT name, description, contexts, context_size, tokens, collections, tokenizer_ids FROM corpus",
)


async def content(url: str) -> list[list[dict[str, object]]]:
    """All that pages show, without numbers that a database gives."""
    tables = []
    for statement in CONTENT:
        rows = await fetch(url, statement)
        tables.append([{k: v for k, v in row.items() if k not in ("load_id", "created_at")} for row in rows])
    return tables


def files_of(folder: Path) -> list[Path]:
    """Paths of all files below a folder, relative to it."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


async def exported(url: str, name: str, out: Path, kind: ExportFormat = ExportFormat.NATIVE) -> None:
    async with connected(url) as connection:
        await export(connection, await select(connection, name), out, kind, lambda line: None)


async def test_an_import_of_an_export_stores_the_same(own_url: str, fresh_url: str, tmp_path: Path) -> None:
    # what users wrote is not part of a dataset
    await execute(own_url, "INSERT INTO account (name) VALUES ('me')")
    await execute(
        own_url,
        """INSERT INTO explanation (source_id, index, description, method, author_id)
           SELECT 1, 1, 'mine', 'manual', max(id) FROM account""",
    )
    # what a language model said of the 12 texts of a score, of which one has no answer
    details = [{"expected": [0.25] * 9, "marked": [0, 8]}, {"failure": "timeout"}, *({} for _ in range(10))]
    await execute(
        own_url,
        """UPDATE score SET method = 'simulation', text_answers[2] = NULL, text_details = $1
           WHERE text_positions[1] BETWEEN 5 AND 20""",
        json.dumps(details),
    )
    # what is known of requests, in some rows all of it, in others a part
    parameters = json.dumps({"texts": 10, "temperature": None, "name": 'a\\u0000 "é"', "share": 1e-7, "list": [1.0]})
    for table, column in (("explanation", "index"), ("score", "id")):
        await execute(
            own_url,
            f"""UPDATE {table} SET template_version = 2, profile = 'own', parameters = $1, prompt_tokens = 321,
                 completion_tokens = 0, cost = 0.1 + {column}::float8 / 3
                WHERE author_id IS NULL AND {column} % 3 = 0""",  # noqa: S608 (constants)
            parameters,
        )
        await execute(own_url, f"UPDATE {table} SET cost = 0 WHERE author_id IS NULL AND {column} % 3 = 1")  # noqa: S608
    out = tmp_path / "native"
    await exported(own_url, "small/res", out)
    assert list(faults(Folder.of(out), Options())) == []
    await load(out, fresh_url)
    before, after = await content(own_url), await content(fresh_url)
    assert all(before) and all(len(rows) > 0 for rows in before)
    assert {row["text_details"] is None for row in before[5]} == {True, False}
    for rows in (before[4], before[5]):
        assert {(row["profile"], row["parameters"] is None) for row in rows} == {("own", False), (None, True)}
        assert {json.loads(str(row["parameters"]))["share"] for row in rows if row["parameters"]} == {1e-7}
        assert len({row["cost"] for row in rows}) > 3
    for statement, left, right in zip(CONTENT, before, after, strict=True):
        assert left == right, statement
    # the export of the copy has the same bytes
    await exported(fresh_url, "small/res", tmp_path / "again")
    names = files_of(out)
    assert len(names) == 13
    assert all((out / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


async def test_another_request_of_a_stored_explanation_is_stored_in_its_row(own_url: str, tmp_path: Path) -> None:
    rows = f"SELECT id, description, {REQUEST} FROM explanation ORDER BY id"  # noqa: S608 (constants)
    before = await fetch(own_url, rows)
    assert all(row["cost"] is None for row in before)
    out = tmp_path / "native"
    await exported(own_url, "small/res", out)
    manifest = Manifest.model_validate_json((out / "manifest.json").read_text())
    for source in manifest.source_set.sources:
        assert source.explanations is not None
        table = pq.read_table(out / source.explanations.path)
        # an explanation that occurs twice has the request of its first row
        table = pa.concat_tables([table, table.slice(0, 1)])
        table = table.append_column("cost", pa.array([*(0.5 + i for i in range(len(table)))], pa.float64()))
        table = table.append_column("profile", pa.array(["own"] * len(table)))
        source.explanations = write_table(out, source.explanations.path, table)
    manifest.write(out)
    await load(out, own_url)
    after = await fetch(own_url, rows)
    assert [(row["id"], row["description"]) for row in after] == [(row["id"], row["description"]) for row in before]
    assert {row["profile"] for row in after} == {"own"} and min(row["cost"] for row in after) == 0.5
    async with connected(own_url) as connection:
        stored = await shown_loads(connection, "small", ["1-res"])
        assert await problems(connection, stored[0]) == []
        for change in ("cost = cost + 1e-15", "profile = 'other'", "prompt_tokens = 1", "template_version = 9"):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(f"UPDATE explanation SET {change} WHERE index = 3")  # noqa: S608 (constants)
            assert await problems(connection, stored[0]) == [
                "the explanations are not the ones that were imported: their digests differ"
            ]
            await transaction.rollback()


async def test_the_public_layout_of_an_export_has_the_same_features(own_url: str, tmp_path: Path) -> None:
    for kind in ExportFormat:
        await exported(own_url, "small/2-res", tmp_path / kind, kind)
    assert [path.name for path in (tmp_path / "public" / "v1" / "small").iterdir()] == ["2-res"]
    to_native(Folder.of(tmp_path / "public/v1/small"), tmp_path / "back", Options(), lambda line: None)
    (result,) = diff(Folder.of(tmp_path / "native"), Folder.of(tmp_path / "back"))
    assert not result, result
    assert not isinstance(result, str) and result.features == 64


async def test_texts_without_ids_of_a_tokenizer_are_exported(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path / "own", layers=(1,))
    manifest.corpus.token_ids = "dataset"
    manifest.write(tmp_path / "own")
    await load(tmp_path / "own", fresh_url)
    await exported(fresh_url, "small/1-res", tmp_path / "out")
    (result,) = diff(Folder.of(tmp_path / "own"), Folder.of(tmp_path / "out"))
    assert isinstance(result, str) or result.features == 64


async def test_sources_of_an_older_version_are_not_exported(own_url: str, tmp_path: Path) -> None:
    await execute(own_url, "DELETE FROM dataset_manifest")
    with pytest.raises(Conflict, match="import it again to export it"):
        await exported(own_url, "small/res", tmp_path / "out")
    assert files_of(tmp_path) == []


async def test_an_export_is_a_job_whose_files_are_downloaded(started: Start, own_url: str, tmp_path: Path) -> None:
    headers = {"Origin": "http://localhost"}
    async with started(own_url, export_folder=tmp_path) as client:
        body = {"name": "small/3-res", "format": "public"}
        job = (await client.post("/api/admin/exports", json=body, headers=headers)).json()["id"]
        download = f"/account/data/jobs/{job}/download"
        assert (await client.get(download)).status_code == 404
        # of a killed export, which the next one deletes
        (tmp_path / ".99.export" / "native").mkdir(parents=True)

        async def done() -> bool:
            return (await client.get(f"/api/admin/jobs/{job}")).json()["job"]["state"] == "done"

        async with worker(own_url, EXPORT, attempts=1):
            await until(done)
        assert not (tmp_path / ".99.export").exists()
        assert download in (await client.get(f"/account/data/jobs/{job}")).text
        response = await client.get(download)
        assert response.headers["content-disposition"] == 'attachment; filename="small--3-res-public.tar"'
        assert int(response.headers["content-length"]) == len(response.content)
        with tarfile.open(fileobj=io.BytesIO(response.content)) as archive:
            archive.extractall(tmp_path / "extracted")
        folder = tmp_path / str(job)
        files = files_of(folder)
        assert Path("v1/small/3-res/features/batch-0.jsonl.gz") in files
        extracted = tmp_path / "extracted" / "small--3-res-public"
        assert files == files_of(extracted)
        assert all((folder / path).read_bytes() == (extracted / path).read_bytes() for path in files)
        assert (await client.post("/account/data/export", data={"name": "x"}, headers=headers)).status_code == 400
    async with started(own_url, export_folder=tmp_path, host="0.0.0.0") as client:
        assert (await client.get(download)).status_code == 403


async def test_an_export_that_cannot_be_written_fails_at_once_with_the_reason(own_url: str, tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("a file in the place of the folder")
    folders = (tmp_path / "exports", tmp_path / "exports" / "deeper", Path("/proc/exports"))
    async with connected(own_url) as connection:
        for folder in folders:
            options = {"format": "native", "folder": str(folder), "days": 7}
            await job_service.add(connection, EXPORT.name, "small/3-res", options)
        await connection.execute("UPDATE job SET state = 'cancelled' WHERE kind <> 'export'")
    statement = "SELECT state::text, attempts, error FROM job WHERE kind = 'export' ORDER BY id"

    async def ended() -> bool:
        return {row["state"] for row in await fetch(own_url, statement)} == {"failed"}

    async with worker(own_url, EXPORT):
        await until(ended)
    for job, folder in zip(await fetch(own_url, statement), folders, strict=True):
        assert job["attempts"] == 1
        assert f"Exports cannot be written to {folder} (" in job["error"]
        assert "set MEMICOS_EXPORT_FOLDER of webapp and worker to another folder" in job["error"]


def test_a_full_disk_and_a_lost_connection_are_told_apart() -> None:
    full = pytest.raises(InsufficientStorage, match="The disk of /exports is full: free some space, or name another")
    with full, write_errors(Path("/exports"), "name another folder"):
        raise OSError(errno.ENOSPC, "No space left on device")
    for lost in (ConnectionResetError(errno.ECONNRESET, "reset"), TimeoutError()):
        with pytest.raises(type(lost)), write_errors(Path("/exports"), "name another folder"):
            raise lost
