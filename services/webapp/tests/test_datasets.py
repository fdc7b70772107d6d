"""Imports: all or nothing, verified, repeatable, side by side."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_dataset.read import read_manifest
from memicos_dataset.write import write_table
from memicos_testing.servers import Start
from memicos_webapp.datasets import load_states
from memicos_webapp.datasets.background import clean_periodically
from memicos_webapp.datasets.cleanup import Deleted, clean
from memicos_webapp.datasets.load_states import LoadStateError
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.datasets.service import ImportOptions, load


async def counts(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    tables = ("source", "load", "feature", "corpus", "document", "context", "explanation")
    try:
        return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in tables}  # noqa: S608
    finally:
        await connection.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
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
    assert (await load(tmp_path, fresh_url, ImportOptions(retired_seconds=0))).loaded
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


async def shown_rows(url: str) -> list[tuple[object, ...]]:
    """What readers see: sources with their current loads, texts and numbers of features."""
    rows = await fetch(
        url,
        """SELECT source.model_id, source.name, source.layer, load.id, load.state, load.corpus_id,
             (SELECT count(*) FROM feature WHERE load_id = load.id),
             (SELECT count(*) FROM context WHERE corpus_id = load.corpus_id),
             (SELECT array_agg(id ORDER BY id) FROM explanation WHERE source_id = source.id)
           FROM source JOIN load ON load.id = source.current_load_id ORDER BY source.id""",
    )
    return [tuple(row) for row in rows]


async def states(url: str) -> list[str]:
    return [row["state"] for row in await fetch(url, "SELECT state FROM load ORDER BY id")]


async def test_a_refused_dataset_leaves_only_the_reason(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path)
    manifest.source_set.sources[1].d_sae = 20
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match="20 is not from 0 to 19") as refused:
        await load(tmp_path, fresh_url)
    assert await counts(fresh_url) == {
        "source": 3, "load": 3, "feature": 0, "corpus": 0, "document": 0, "context": 0, "explanation": 0,
    }  # fmt: skip
    rows = await fetch(fresh_url, "SELECT state, error, import_id FROM load")
    assert [tuple(row) for row in rows] == [("failed", str(refused.value), None)] * 3
    assert await shown_rows(fresh_url) == []
    # the record goes when the source is shown
    await load(small_dataset, fresh_url)
    assert await states(fresh_url) == ["shown"] * 3


async def test_a_manifest_that_contradicts_itself_is_refused(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    manifest = write_dataset(tmp_path)
    manifest.corpus.contexts = 20
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match=r"corpus.contexts: is 20, and the context files have 40 rows"):
        await load(tmp_path, fresh_url)
    assert set((await counts(fresh_url)).values()) == {0}


async def test_a_replaced_load_stays_for_requests_in_progress(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    before = await shown_rows(fresh_url)
    write_dataset(tmp_path, features=48, seed=1)
    await load(tmp_path, fresh_url)
    assert await states(fresh_url) == ["retired"] * 3 + ["shown"] * 3
    old = [row[3] for row in before]
    (kept,) = await fetch(fresh_url, "SELECT count(*) AS n FROM feature WHERE load_id = ANY($1)", old)
    assert kept["n"] == 3 * 64
    async with connected(fresh_url) as connection:
        assert not await clean(connection, 600)
        assert await clean(connection, 0) == Deleted(dead=0, retired=3)
    assert await states(fresh_url) == ["shown"] * 3
    assert (await counts(fresh_url))["feature"] == 3 * 48


async def import_process(url: str, folder: Path) -> asyncio.subprocess.Process:
    """An import in a process of its own."""
    command = (sys.executable, "-m", "memicos_webapp.datasets.load", str(folder))
    return await asyncio.create_subprocess_exec(*command, env={**os.environ, "DATABASE_URL": url})


WAITING = """SELECT FROM pg_stat_activity WHERE application_name = 'memicos-import'
             AND datname = current_database() AND wait_event_type = 'Lock'"""
CONNECTED = """SELECT FROM pg_stat_activity WHERE application_name = 'memicos-import'
               AND datname = current_database()"""


@asynccontextmanager
async def stopped_before(url: str, folder: Path, table: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An import that waits for its first change of `table`; the table is free again at the end."""
    async with connected(url) as blocker, blocker.transaction():
        await blocker.execute(f"LOCK TABLE {table} IN SHARE MODE")
        process = await import_process(url, folder)
        async with asyncio.timeout(60):
            while not await fetch(url, WAITING):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield process


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1200):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


@pytest.mark.parametrize(
    ("table", "folder", "left"),
    [
        ("release", "new", []),
        ("context", "changed", ["staging"] * 3),
        ("feature", "new", ["staging"] * 3),
        ("explanation", "changed", ["verified"] * 3),
    ],
)
async def test_a_killed_import_changes_nothing_and_is_cleaned_up(
    fresh_url: str,
    small_dataset: Path,
    tmp_path: Path,
    write_dataset: Callable[..., Manifest],
    table: str,
    folder: str,
    left: list[str],
) -> None:
    await load(small_dataset, fresh_url)
    before, all_before = await shown_rows(fresh_url), await counts(fresh_url)
    write_dataset(tmp_path / "changed", features=48, contexts=30, seed=3)
    write_dataset(tmp_path / "new", model="other", source_set="mlp", seed=4)
    async with stopped_before(fresh_url, tmp_path / folder, table) as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def disconnected() -> bool:
        return not await fetch(fresh_url, CONNECTED)

    await until(disconnected)
    assert await shown_rows(fresh_url) == before
    assert await states(fresh_url) == ["shown"] * 3 + left
    async with connected(fresh_url) as connection:
        assert (await clean(connection, 600)).dead == len(left)
    assert await counts(fresh_url) == all_before
    assert await fetch(fresh_url, "SELECT id FROM model") == [("small",)]
    assert (await load(tmp_path / folder, fresh_url, ImportOptions(retired_seconds=0))).loaded
    assert await states(fresh_url) == ["shown"] * (6 if folder == "new" else 3)


async def test_a_clean_up_leaves_an_import_at_work_alone(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    for seed, name in enumerate(("slow", "dead", "quick")):
        write_dataset(tmp_path / name, source_set=name, seed=seed)
    staged_slow = "SELECT load.* FROM load JOIN source ON source.id = source_id WHERE name ~ 'slow' ORDER BY load.id"
    async with stopped_before(fresh_url, tmp_path / "slow", "feature") as slow:
        # it sends no more rows, and its connection stays open
        slow.send_signal(signal.SIGSTOP)
    async with stopped_before(fresh_url, tmp_path / "dead", "context") as dead:
        dead.send_signal(signal.SIGKILL)
        await dead.wait()
    staged = await fetch(fresh_url, staged_slow)
    assert await states(fresh_url) == ["staging"] * 6 and len(staged) == 3

    async def dead_is_gone() -> bool:
        async with connected(fresh_url) as connection:
            await clean(connection, 0)
        return await fetch(fresh_url, "SELECT FROM source WHERE name ~ 'dead'") == []

    assert (await load(tmp_path / "quick", fresh_url)).loaded
    await until(dead_is_gone)
    assert await fetch(fresh_url, staged_slow) == staged
    assert slow.returncode is None
    slow.send_signal(signal.SIGCONT)
    assert await slow.wait() == 0
    shown = {str(row[1]): row[4:8:2] for row in await shown_rows(fresh_url)}
    names = [f"{layer}-{name}" for name in ("quick", "slow") for layer in (1, 2, 3)]
    assert shown == dict.fromkeys(names, ("shown", 64))
    assert await states(fresh_url) == ["shown"] * 6


async def test_two_imports_of_one_corpus_at_once_share_it(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    names = ("mlp", "res", "att")
    for name in names:
        write_dataset(tmp_path / name, source_set=name)
    reports = await asyncio.gather(*(load(tmp_path / name, fresh_url) for name in (*names, "res")))
    assert [report.loaded for report in reports].count(False) == 1
    assert (await counts(fresh_url))["corpus"] == 1
    assert await states(fresh_url) == ["shown"] * 9


async def test_a_state_is_reached_only_from_the_states_before_it(fresh_url: str, small_dataset: Path) -> None:
    await load(small_dataset, fresh_url)
    (row, *_) = await fetch(fresh_url, "SELECT id, source_id FROM load ORDER BY id")
    async with connected(fresh_url) as connection:
        for change in (
            load_states.verify(connection, [row["id"]]),
            load_states.fail(connection, [row["id"]], "late"),
            load_states.flip(connection, {row["source_id"]: row["id"]}),
        ):
            with pytest.raises(LoadStateError, match=f"{row['id']}.* cannot become"):
                async with connection.transaction():
                    await change
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(
                """INSERT INTO load (source_id, corpus_id, state, manifest_sha256, features, dead_features,
                          counted_tokens, architecture, d_in, d_sae, logit_effect, recipe)
                        SELECT source_id, corpus_id, state, '', 0, 0, 1, '', 1, 1, '', '{}' FROM load LIMIT 1"""
            )
    assert await states(fresh_url) == ["shown"] * 3


async def names_shown(url: str) -> dict[str, str]:
    rows = await fetch(
        url,
        """SELECT source.name, source_set.name AS set_name FROM source
           JOIN source_set ON source_set.id = source_set_id WHERE current_load_id IS NOT NULL ORDER BY 1""",
    )
    return {row["name"]: row["set_name"] for row in rows}


async def test_sources_that_a_dataset_lacks_are_decided_about(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    write_dataset(tmp_path, layers=(2, 3), seed=1)
    before = await shown_rows(fresh_url)
    with pytest.raises(DatasetError, match="lacks: 1-res; keep them with --keep-missing, or hide them with --retire"):
        await load(tmp_path, fresh_url)
    assert await shown_rows(fresh_url) == before
    report = await load(tmp_path, fresh_url, ImportOptions(MissingSources.KEEP))
    assert report.notes == ["kept as they are, though this dataset lacks them: 1-res"]
    assert list(await names_shown(fresh_url)) == ["1-res", "2-res", "3-res"]
    # again: nothing to copy, and the source can still be retired
    assert not (await load(tmp_path, fresh_url)).loaded
    report = await load(tmp_path, fresh_url, ImportOptions(MissingSources.RETIRE, retired_seconds=0))
    assert not report.loaded and report.notes == ["retired, as this dataset lacks them: 1-res"]
    assert list(await names_shown(fresh_url)) == ["2-res", "3-res"]
    assert await states(fresh_url) == ["shown"] * 2
    report = await load(small_dataset, fresh_url)
    assert report.loaded and list(await names_shown(fresh_url)) == ["1-res", "2-res", "3-res"]


async def test_a_source_moves_to_another_set_only_when_asked(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    def write_variants(folder: Path, source_set: str) -> None:
        manifest = write_dataset(folder, source_set="res__v", seed=1)
        manifest.source_set.id = source_set
        manifest.write(folder)

    write_variants(tmp_path / "own", "res__v")
    write_variants(tmp_path / "of-res", "res")
    await load(tmp_path / "own", fresh_url)
    with pytest.raises(DatasetError, match="'1-res__v' belongs to set 'res__v' in the database, not to 'res'"):
        await load(tmp_path / "of-res", fresh_url)
    assert set((await names_shown(fresh_url)).values()) == {"res__v"}
    report = await load(tmp_path / "of-res", fresh_url, ImportOptions(move_sources=True))
    assert report.notes == [f"{layer}-res__v moves from set res__v to res" for layer in (1, 2, 3)]
    assert set((await names_shown(fresh_url)).values()) == {"res"}


async def test_a_model_of_another_shape_and_a_set_of_another_release(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    manifest = write_dataset(tmp_path / "mlp", source_set="mlp")
    manifest.model.layers = 30
    manifest.write(tmp_path / "mlp")
    with pytest.raises(DatasetError, match="belong to it; give another model another id"):
        await load(tmp_path / "mlp", fresh_url)
    manifest = write_dataset(tmp_path / "res", seed=1)
    manifest.release.id = "second"
    manifest.write(tmp_path / "res")
    report = await load(tmp_path / "res", fresh_url)
    assert report.notes == ["set res moves from release small-release to second"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("1-att", "source '1-att' does not belong to set 'res'"),
        ("2-res", "source '2-res' names layer 2, and its entry says layer 1"),
        ("res", "source 'res' does not belong to set 'res'"),
        ("1", "source '1' does not belong to set 'res'"),
        ("1-res-4k", "source '1-res-4k' does not belong to set 'res'"),
    ],
)
async def test_a_source_that_is_not_of_its_set_is_refused(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest], source: str, problem: str
) -> None:
    manifest = write_dataset(tmp_path)
    manifest.source_set.sources[0].id = source
    manifest.write(tmp_path)
    with pytest.raises(DatasetError, match=problem):
        await load(tmp_path, fresh_url)
    assert set((await counts(fresh_url)).values()) == {0}


async def test_the_webapp_cleans_up_by_itself(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    write_dataset(tmp_path, seed=1)
    await load(tmp_path, fresh_url)
    cleaning = asyncio.create_task(clean_periodically(fresh_url, 0.05, 0))

    async def cleaned() -> bool:
        return await states(fresh_url) == ["shown"] * 3

    await until(cleaned)
    cleaning.cancel()


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
    """Versions before these rules imported them."""
    async with started(own_url) as client:
        address = "small/2-res/3"
        before = (await client.get(f"/api/feature/{address}")).json()["activations"]
        await fetch(
            own_url,
            """UPDATE feature SET example_contexts[1] = 999, example_positions[2] = 900, example_groups[3] = 9
               WHERE index = 3 AND load_id IN (SELECT load.id FROM load JOIN source ON source.id = source_id
                                               WHERE name = '2-res')""",
        )
        response = await client.get(f"/api/feature/{address}")
        assert response.status_code == 200
        left_out = {row["id"] for row in before} - {row["id"] for row in response.json()["activations"]}
        assert {int(example.rpartition("-")[2]) for example in left_out} == {0, 1, 2}
        page = await client.get(f"/{address}")
        assert page.status_code == 200
        # the strongest examples that are left stand above the intervals
        top = [row for row in response.json()["activations"] if row["binMin"] == -1]
        assert f"({len(top)} of " in page.text


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
