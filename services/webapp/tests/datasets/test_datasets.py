"""Imports: all or nothing, verified, repeatable, side by side."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pyarrow.parquet as pq
import pytest
from memicos_dataset.errors import DatasetError
from memicos_dataset.manifest import Manifest
from memicos_testing.webapp.database import connected, counts, fetch, shown_rows, states
from memicos_testing.webapp.imports.dataset_imports import disconnected, stopped_before, until
from memicos_webapp.database.packed_numbers import unpack
from memicos_webapp.datasets import load_states
from memicos_webapp.datasets.background import clean_periodically
from memicos_webapp.datasets.cleanup import Deleted, clean
from memicos_webapp.datasets.load_states import LoadStateError
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import load


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
        for name in ("index", "max_activation", "active_tokens", "negative_logits"):
            assert row[name] == expected[name]
        assert unpack(row["activation_histogram"]) == expected["activation_histogram"]
        assert row["positive_tokens"] == [tokens[i].replace("\0", "␀") for i in expected["positive_token_ids"]]
        assert unpack(row["example_lengths"]) == [len(values) for values in expected["values"]]
        assert unpack(row["values"]) == [value for values in expected["values"] for value in values]
        assert unpack(row["value_positions"]) == [p for positions in expected["value_positions"] for p in positions]


async def test_contexts_have_tokens_and_replacements_for_nul(loaded_url: str, small_dataset: Path) -> None:
    expected = pq.read_table(small_dataset / "corpus" / "contexts.parquet").to_pylist()
    rows = await fetch(loaded_url, "SELECT * FROM context ORDER BY number")
    assert [unpack(row["token_ids"]) for row in rows] == [row["token_ids"] for row in expected]
    strings = {row["token_id"]: row["token"] for row in await fetch(loaded_url, "SELECT * FROM vocabulary")}
    assert [strings[i] for i in unpack(rows[0]["token_ids"])[4:6]] == ["␀", "<b>&"]


async def test_the_planner_knows_every_table(fresh_url: str, small_dataset: Path) -> None:
    await load(small_dataset, fresh_url)
    rows = await fetch(fresh_url, "SELECT relname, reltuples FROM pg_class WHERE relname = ANY($1)",
                       ["source", "load", "feature", "context", "document", "explanation"])  # fmt: skip
    # -1 where no count is recorded
    assert {row["relname"]: row["reltuples"] for row in rows} == {
        "source": 3, "load": 3, "feature": 192, "context": 40, "document": 4, "explanation": 180,
    }  # fmt: skip


async def test_the_same_dataset_again_does_nothing(fresh_url: str, small_dataset: Path) -> None:
    first = await load(small_dataset, fresh_url)
    before = await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id")
    repeated = await load(small_dataset, fresh_url)
    assert (first.loaded, repeated.loaded) == (True, False)
    assert repeated.seconds < 0.5
    assert await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id") == before


async def test_a_changed_dataset_replaces_the_old_one_and_keeps_user_content(
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
    # unchanged explanations keep their row and its embedding
    after = await fetch(fresh_url, "SELECT id, description FROM explanation WHERE author_id IS NULL")
    assert set(after) <= set(before)


@pytest.mark.parametrize("name", ["corpus/contexts.parquet", "3-res/features-00000.parquet"])
async def test_a_corrupt_file_changes_nothing(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest], name: str
) -> None:
    await load(small_dataset, fresh_url)
    before = await counts(fresh_url)
    current_loads = await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id")
    write_dataset(tmp_path, seed=2)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name}: sha256 is"):
        await load(tmp_path, fresh_url)
    assert await counts(fresh_url) == before
    assert await fetch(fresh_url, "SELECT id, current_load_id FROM source ORDER BY id") == current_loads


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
    # the record is deleted when the source is shown
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
    (feature_count,) = await fetch(fresh_url, "SELECT count(*) AS n FROM feature WHERE load_id = ANY($1)", old)
    assert feature_count["n"] == 3 * 64
    async with connected(fresh_url) as connection:
        assert not await clean(connection, 600)
        assert await clean(connection, 0) == Deleted(interrupted=0, retired=3)
    assert await states(fresh_url) == ["shown"] * 3
    assert (await counts(fresh_url))["feature"] == 3 * 48


@pytest.mark.parametrize(
    ("table", "folder", "remaining"),
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
    remaining: list[str],
) -> None:
    await load(small_dataset, fresh_url)
    before, all_before = await shown_rows(fresh_url), await counts(fresh_url)
    write_dataset(tmp_path / "changed", features=48, contexts=30, seed=3)
    write_dataset(tmp_path / "new", model="other", source_set="mlp", seed=4)
    async with stopped_before(fresh_url, tmp_path / folder, table) as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()

    await until(lambda: disconnected(fresh_url))
    assert await shown_rows(fresh_url) == before
    assert await states(fresh_url) == ["shown"] * 3 + remaining
    async with connected(fresh_url) as connection:
        assert (await clean(connection, 600)).interrupted == 0
        assert await states(fresh_url) == ["shown"] * 3 + remaining
        assert (await clean(connection, 600, interrupted_seconds=0)).interrupted == len(remaining)
    assert await counts(fresh_url) == all_before
    assert await fetch(fresh_url, "SELECT id FROM model") == [("small",)]
    assert (await load(tmp_path / folder, fresh_url, ImportOptions(retired_seconds=0))).loaded
    assert await states(fresh_url) == ["shown"] * (6 if folder == "new" else 3)


async def test_a_clean_up_does_not_touch_a_running_import(
    fresh_url: str, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    for seed, name in enumerate(("slow", "dead", "quick")):
        write_dataset(tmp_path / name, source_set=name, seed=seed)
    staged_slow = "SELECT load.* FROM load JOIN source ON source.id = source_id WHERE name ~ 'slow' ORDER BY load.id"

    async def texts_are_stored() -> bool:
        return len(await fetch(fresh_url, "SELECT FROM job_file WHERE loaded")) == 3

    async with stopped_before(fresh_url, tmp_path / "slow", "feature") as slow:
        # their transaction would keep the next import, and its test, from the table of contexts
        await until(texts_are_stored)
        # it sends no more rows, and its connection stays open
        slow.send_signal(signal.SIGSTOP)
    async with stopped_before(fresh_url, tmp_path / "dead", "context") as dead:
        dead.send_signal(signal.SIGKILL)
        await dead.wait()
    staged = await fetch(fresh_url, staged_slow)
    assert await states(fresh_url) == ["staging"] * 6 and len(staged) == 3

    async def dead_is_gone() -> bool:
        async with connected(fresh_url) as connection:
            await clean(connection, 0, interrupted_seconds=0)
        return await fetch(fresh_url, "SELECT FROM source WHERE name ~ 'dead'") == []

    assert (await load(tmp_path / "quick", fresh_url)).loaded
    await until(dead_is_gone)
    assert await fetch(fresh_url, staged_slow) == staged
    assert slow.returncode is None
    slow.send_signal(signal.SIGCONT)
    assert await slow.wait() == 0
    current_loads = {str(row[1]): row[4:8:2] for row in await shown_rows(fresh_url)}
    names = [f"{layer}-{name}" for name in ("quick", "slow") for layer in (1, 2, 3)]
    assert current_loads == dict.fromkeys(names, ("shown", 64))
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


async def test_the_webapp_cleans_up_by_itself(
    fresh_url: str, small_dataset: Path, tmp_path: Path, write_dataset: Callable[..., Manifest]
) -> None:
    await load(small_dataset, fresh_url)
    write_dataset(tmp_path, seed=1)
    await load(tmp_path, fresh_url)
    cleaning = asyncio.create_task(clean_periodically(fresh_url, 0.05, 0, 600))

    async def cleaned() -> bool:
        return await states(fresh_url) == ["shown"] * 3

    await until(cleaned)
    cleaning.cancel()
