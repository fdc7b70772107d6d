"""Sources in the database are compared with what was imported; plans of imports; deletion."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncpg import Connection
from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.manifest import Manifest
from memicos_dataset.token_text import context_strings
from memicos_testing.webapp.database import connected, execute, fetch, shown_rows
from memicos_testing.webapp.imports.dataset_imports import JOBS, until
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_testing.webapp.revisions import downgrade
from memicos_webapp.database.migrate import migrate
from memicos_webapp.database.packed_numbers import unpack
from memicos_webapp.datasets import preview
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.stored_sources import delete, verify
from memicos_webapp.stored_sources.export import ExportFormat, export
from memicos_webapp.stored_sources.selection import select

STATES = """SELECT source.name, verified_at, verification_problem FROM load
            JOIN source ON source.current_load_id = load.id ORDER BY source.name"""


async def verified(url: str, address: str) -> dict[str, list[str]]:
    async with connected(url) as connection:
        return {r.name: r.problems for r in await verify.verify(connection, await select(connection, address))}


async def test_an_import_is_verified_and_later_changes_are_found(own_url: str) -> None:
    imported = await fetch(own_url, STATES)
    assert all(row["verified_at"] and row["verification_problem"] is None for row in imported)
    complete: dict[str, list[str]] = {f"small/{layer}-res": [] for layer in (1, 2, 3)}
    assert await verified(own_url, "small/res") == complete
    assert await verified(own_url, "small/2-res") == {"small/2-res": []}
    of_source = "load_id = (SELECT current_load_id FROM source WHERE name = '1-res')"
    for change, problem in (
        (
            "UPDATE feature SET values = set_bit(values, 9, 1 - get_bit(values, 9)) WHERE index = 7 AND {}",
            "the features are not",
        ),
        ("UPDATE feature SET positive_tokens[1] = 'x' WHERE index = 9 AND {}", "the features are not"),
        ("DELETE FROM feature WHERE index = 3 AND {}", "63 features are stored, the import had 64"),
    ):
        async with connected(own_url) as connection:
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            await connection.execute(change.format(of_source))
            found = await verify.verify(connection, await select(connection, "small/1-res"))
            assert problem in found[0].problems[0], (change, found)
            await transaction.rollback()
    flip = "UPDATE context SET token_ids = set_bit(token_ids, 40, 1 - get_bit(token_ids, 40)) WHERE number = 3"
    for change, back in (
        (flip, flip),
        (
            "UPDATE vocabulary SET token = token || 'x' WHERE token_id = 5",
            "UPDATE vocabulary SET token = rtrim(token, 'x') WHERE token_id = 5",
        ),
    ):
        await execute(own_url, change)
        found = (await verified(own_url, "small/res")).values()
        assert all("the contexts are not" in problems[0] for problems in found)
        await execute(own_url, back)
    assert await verified(own_url, "small/res") == complete
    await execute(own_url, "DELETE FROM explanation WHERE source_id = 1 AND index = 2")
    await execute(own_url, "UPDATE explanation SET description = 'x' WHERE source_id = 2 AND index = 2")
    first, second, third = (await verified(own_url, "small/res")).values()
    assert "explanations are stored, the import had" in first[0] and "the explanations are not" in second[0]
    assert third == []
    stored = await fetch(own_url, STATES)
    assert stored[0]["verification_problem"] == "; ".join(first)
    assert stored[0]["verified_at"] > imported[0]["verified_at"]


async def test_a_source_of_an_older_version_is_imported_again_to_be_verified(
    own_url: str, small_dataset: Path, tmp_path: Path
) -> None:
    expected = [await fetch(own_url, statement) for statement in TEXTS]
    await store_as_before_vocabularies(own_url)
    await migrate(own_url)
    assert "import it again" in (await verified(own_url, "small/1-res"))["small/1-res"][0]
    options = ImportOptions(retired_seconds=0)
    assert (await load(small_dataset, own_url, options)).loaded
    assert not (await load(small_dataset, own_url, options)).loaded
    assert await verified(own_url, "small/1-res") == {"small/1-res": []}
    # the texts are those of the dataset; what the older version stored is deleted with its last load
    assert [await fetch(own_url, statement) for statement in TEXTS] == expected
    async with connected(own_url) as connection:
        selection = await select(connection, "small/res")
        await export(connection, selection, tmp_path / "out", ExportFormat.NATIVE, lambda line: None)


TEXTS = (
    "SELECT contexts, tokenizer_ids, digest, digest_of_rows FROM corpus",
    "SELECT number, document, token_ids FROM context ORDER BY number",
    "SELECT token_id, token FROM vocabulary ORDER BY token_id",
)


async def store_as_before_vocabularies(url: str) -> None:
    """Bring a database with a corpus to revision 0031, with the texts as a version before 0020 stored them: ids and
    strings of contexts, without vocabulary and digests."""
    (corpus,), documents, contexts, vocabulary, loads = [
        await fetch(url, f"SELECT * FROM {table}")  # noqa: S608 (constants)
        for table in ("corpus", "document", "context", "vocabulary", "load")
    ]
    string_of = {row["token_id"]: row["token"] for row in vocabulary}
    await downgrade(url, "0031")
    async with connected(url) as connection:
        older = dict(corpus) | {"digest_of_rows": None}
        del older["tokenizer_ids"]
        await insert(connection, "corpus", [older])
        await insert(connection, "document", [dict(row) for row in documents])
        rows = []
        for row in contexts:
            ids = unpack(row["token_ids"])
            strings = context_strings([string_of[token] for token in ids])
            rows.append(dict(row) | {"token_ids": ids, "tokens": strings})
        await insert(connection, "context", rows)
        await insert(connection, "load", [dict(row) for row in loads])
        await connection.execute(
            "UPDATE source SET current_load_id = load.id FROM load WHERE load.source_id = source.id"
        )


async def insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    records = [tuple(row.values()) for row in rows]
    await connection.copy_records_to_table(table, records=records, columns=list(rows[0]))


async def test_the_worker_verifies_and_deletes_sources(own_url: str, small_dataset: Path) -> None:
    await execute(own_url, "UPDATE feature SET density = 0.5 WHERE index = 1")
    await execute(own_url, "INSERT INTO account (name) VALUES ('me')")
    await execute(
        own_url,
        """INSERT INTO explanation (source_id, index, description, method, author_id)
           SELECT 1, 1, 'mine', 'manual', max(id) FROM account""",
    )
    async with connected(own_url) as connection:
        stale = await select(connection, "small/1-res")
        job = await verify.add(connection, "small/2-res")
        await delete.add(connection, "small/1-res", 0)
        with pytest.raises(NotFound, match="its sources are 1-res, 2-res, 3-res"):
            await verify.add(connection, "small/9-res")
        with pytest.raises(BadInput, match="model/source or model/set"):
            await verify.add(connection, "small")

    async def ended() -> bool:
        return {row["state"] for row in (await fetch(own_url, JOBS))[-2:]} <= {"done", "failed"}

    async with worker(own_url, verify.VERIFY, delete.DELETE):
        await until(ended)
    jobs = {row["id"]: row for row in await fetch(own_url, JOBS)}
    assert jobs[job]["state"] == "failed" and "small/2-res: the features are not" in jobs[job]["error"]
    lines = [row["line"] for row in await fetch(own_url, "SELECT line FROM job_line WHERE job_id = $1", job)]
    assert lines[0] == "attempt 1 begins" and lines[-1].startswith("failed: small/2-res")
    assert [row[1] for row in await shown_rows(own_url)] == ["2-res", "3-res"]
    rows = await fetch(own_url, "SELECT description FROM explanation WHERE source_id = 1")
    assert [row["description"] for row in rows] == ["mine"]
    assert len(await fetch(own_url, "SELECT DISTINCT load_id FROM feature")) == 2
    # what users wrote comes back with the source
    await load(small_dataset, own_url)
    assert (await verified(own_url, "small/res"))["small/1-res"] == []
    async with connected(own_url) as connection:
        # a deletion that goes on after an interruption leaves what was imported since
        assert await delete.delete(connection, stale, 0) == delete.Deletion([], ["1-res"])
        assert len(await shown_rows(own_url)) == 3
        everything = await delete.delete(connection, await select(connection, "small/res"), 0)
    assert everything == delete.Deletion(["1-res", "2-res", "3-res"], [])
    assert await shown_rows(own_url) == []


async def test_a_deletion_says_which_sources_were_imported_again_meanwhile(own_url: str, small_dataset: Path) -> None:
    async with connected(own_url) as connection:
        job = await delete.add(connection, "small/res", 0)
        # before the worker begins
        await delete.delete(connection, await select(connection, "small/res"), 0)
    await load(small_dataset, own_url)

    async def ended() -> bool:
        return {row["id"]: row["state"] for row in await fetch(own_url, JOBS)}[job] in ("done", "failed")

    async with worker(own_url, delete.DELETE):
        await until(ended)
    lines = [
        row["line"] for row in await fetch(own_url, "SELECT line FROM job_line WHERE job_id = $1 ORDER BY id", job)
    ]
    kept = "imported again since this job was added, so not deleted: 1-res, 2-res, 3-res"
    assert lines[-3:] == ["0 sources hidden", kept, "done"]
    assert len(await shown_rows(own_url)) == 3


async def test_a_plan_lists_sizes_and_an_import_without_space_is_refused(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_dataset(tmp_path / "small")
    folder = Folder.of(tmp_path / "small")
    async with connected(fresh_url) as connection:
        plan = await preview.complete(connection, preview.listed(folder), tmp_path)
        assert plan.bytes == sum(entry.bytes for entry in manifest.files())
        assert [(source.id, source.features, source.shown) for source in plan.sources] == [
            (f"{layer}-res", 64, False) for layer in (1, 2, 3)
        ]
        # the test's PostgreSQL runs on this machine
        assert plan.lack_of_space is None and plan.space[0].free is not None and plan.space[0].free > 0
        # of the write-ahead log, PostgreSQL keeps 1 GiB
        for size, needed in ((10 << 20, 75 << 20), (100 << 30, 351 << 30)):
            listed = replace(preview.listed(folder), texts_bytes=size, sources=[])
            (space,) = (await preview.complete(connection, listed, tmp_path)).space
            assert (space.needed, await connection.fetchval("SHOW max_wal_size")) == (needed, "1GB")
        monkeypatch.setattr(preview, "free_in", lambda folder: 1000)
        plan = await preview.complete(connection, preview.listed(folder), tmp_path)
        assert plan.lack_of_space is not None and "GiB in the database, where 0.00 GiB are free" in plan.lack_of_space
    with pytest.raises(DatasetError, match=r"in the database, where 0\.00 GiB are free; free some"):
        await load(folder, fresh_url)
    assert await fetch(fresh_url, "SELECT FROM load") == []
