"""Imports: all or nothing, verified, repeatable."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pyarrow.parquet as pq
import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_webapp.datasets.service import load


async def counts(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    tables = ("source", "load", "feature", "corpus", "document", "context", "explanation")
    try:
        return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in tables}  # noqa: S608
    finally:
        await connection.close()


async def fetch(url: str, sql: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *values)
    finally:
        await connection.close()


async def test_every_row_arrives(loaded_url: str, small_dataset: Path) -> None:
    table = pq.read_table(small_dataset / "2-res" / "features-00000.parquet").to_pylist()
    tokens = pq.read_table(small_dataset / "corpus" / "vocabulary.parquet")["token"].to_pylist()
    rows = await fetch(
        loaded_url,
        """SELECT feature.* FROM feature JOIN source ON source.current_load_id = load_id
           WHERE source.name = '2-res' ORDER BY index""",
    )
    assert len(rows) == len(table) == 64
    for row, expected in zip(rows, table, strict=True):
        for name in ("index", "max_activation", "active_tokens", "activation_histogram", "negative_logits"):
            assert row[name] == expected[name]
        assert row["positive_tokens"] == [tokens[i].replace("\0", "␀") for i in expected["positive_token_ids"]]
        assert row["example_lengths"] == [len(values) for values in expected["values"]]
        assert row["values"] == [value for values in expected["values"] for value in values]
        assert row["value_positions"] == [p for positions in expected["value_positions"] for p in positions]


async def test_contexts_carry_tokens_and_signs_for_nul(loaded_url: str, small_dataset: Path) -> None:
    expected = pq.read_table(small_dataset / "corpus" / "contexts.parquet").to_pylist()
    rows = await fetch(loaded_url, "SELECT * FROM context ORDER BY number")
    assert [row["token_ids"] for row in rows] == [row["token_ids"] for row in expected]
    assert rows[0]["tokens"][4:6] == ["␀", "<b>&"]


async def test_the_planner_knows_every_table(fresh_url: str, small_dataset: Path) -> None:
    await load(small_dataset, fresh_url)
    rows = await fetch(fresh_url, "SELECT relname, reltuples FROM pg_class WHERE relname = ANY($1)",
                       ["source", "load", "feature", "context", "document", "explanation"])  # fmt: skip
    # -1 where nobody has counted
    assert {row["relname"]: row["reltuples"] for row in rows} == {
        "source": 3, "load": 3, "feature": 192, "context": 40, "document": 4, "explanation": 180,
    }  # fmt: skip


async def test_the_same_dataset_again_does_nothing(fresh_url: str, small_dataset: Path) -> None:
    first = await load(small_dataset, fresh_url)
    before = await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id")
    again = await load(small_dataset, fresh_url)
    assert (first.loaded, again.loaded) == (True, False)
    assert again.seconds < 0.5
    assert await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id") == before


async def test_a_changed_dataset_replaces_the_old_one_and_keeps_what_people_wrote(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    await fetch(
        fresh_url,
        """INSERT INTO explanation (source_id, index, description, method, author_id)
           SELECT id, 5, 'mine', 'human', 1 FROM source WHERE name = '1-res'""",
    )
    before = await fetch(fresh_url, "SELECT id, description FROM explanation WHERE author_id IS NULL")
    write_dataset(tmp_path, features=48, seed=1)
    assert (await load(tmp_path, fresh_url)).loaded
    assert await counts(fresh_url) == {
        "source": 3, "load": 3, "feature": 3 * 48, "corpus": 1, "document": 4, "context": 40,
        "explanation": 3 * 45 + 1,
    }  # fmt: skip
    assert await fetch(fresh_url, "SELECT description FROM explanation WHERE author_id = 1") == [("mine",)]
    # words that did not change keep their row, and with it their embedding
    after = await fetch(fresh_url, "SELECT id, description FROM explanation WHERE author_id IS NULL")
    assert set(after) <= set(before)


@pytest.mark.parametrize("name", ["corpus/contexts.parquet", "3-res/features-00000.parquet"])
async def test_a_corrupt_file_changes_nothing(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest], name: str
) -> None:
    await load(small_dataset, fresh_url)
    before = await counts(fresh_url)
    shown = await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id")
    write_dataset(tmp_path, seed=2)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name}: sha256 is"):
        await load(tmp_path, fresh_url)
    assert await counts(fresh_url) == before
    assert await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id") == shown


async def test_examples_outside_the_corpus_are_refused_and_nothing_stays(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path)
    manifest.corpus.contexts = 20
    manifest.corpus.context_files[0].rows = 40
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match="40 contexts arrived, the manifest says 20"):
        await load(tmp_path, fresh_url)
    assert set((await counts(fresh_url)).values()) == {0}


async def test_a_killed_import_leaves_nothing_and_the_next_one_works(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    before = await counts(fresh_url)
    write_dataset(tmp_path, features=48, seed=3)
    # the merge of explanations waits for this lock: all features are written then, the flip is not
    blocker = await asyncpg.connect(fresh_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE explanation IN SHARE MODE")
    command = (sys.executable, "-m", "memicos_webapp.datasets.load", str(tmp_path))
    environment = {**os.environ, "DATABASE_URL": fresh_url}
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    async with asyncio.timeout(60):
        while not await fetch(
            fresh_url,
            """SELECT 1 FROM pg_stat_activity WHERE application_name = 'memicos-import'
               AND datname = current_database() AND wait_event_type = 'Lock'""",
        ):
            assert process.returncode is None
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await transaction.rollback()
    await blocker.close()
    assert await counts(fresh_url) == before
    assert (await load(tmp_path, fresh_url)).loaded
    assert (await counts(fresh_url))["feature"] == 3 * 48


async def test_the_command_says_in_one_line_what_is_wrong(fresh_url: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memicos_webapp.datasets.load", str(tmp_path),
        env={**os.environ, "DATABASE_URL": fresh_url}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().splitlines() == [
        f"import: {tmp_path}/manifest.json: no such file; is this the folder of a memicos dataset?"
    ]
