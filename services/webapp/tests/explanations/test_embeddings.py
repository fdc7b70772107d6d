"""Embedding explanations: interrupted runs, switching the embedder, the background embedder and its supervision."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

import asyncpg
import numpy as np
import pytest
from memicos_embeddings.embedder import MINILM, OPENAI, EmbedderError, Vectors
from memicos_embeddings.minilm import MiniLmEmbedder
from memicos_embeddings.openai_embedder import OpenAiEmbedder
from memicos_embeddings.registry import EmbedderRegistry
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.llm_provider import LlmProvider, Reply, embedding
from memicos_testing.servers import Start
from memicos_webapp.database.engine import Database
from memicos_webapp.embeddings import service as embedding_service
from memicos_webapp.embeddings.background import BackgroundEmbedder
from memicos_webapp.embeddings.service import embed_missing, switch_embedder
from memicos_webapp.settings import Settings
from pydantic import SecretStr

KEY = "sk-secret-0123456789"


@pytest.fixture(scope="module")
def running_provider() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


class FakeEmbedder:
    """Stands in for the local embedder: vectors depend on the text alone; fails after `batches` batches."""

    key, title, dimensions, paid = MINILM, "fake", 384, False

    def __init__(self, batches: int | None = None) -> None:
        self.batches = batches
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.batches is not None:
            if self.batches == 0:
                raise EmbedderError("Out of order.")
            self.batches -= 1
        self.texts += texts
        return np.array([embedding(text, self.dimensions) for text in texts], np.float32)

    async def close(self) -> None:
        pass


def registry(*embedders: FakeEmbedder | MiniLmEmbedder | OpenAiEmbedder, preferred: str = MINILM) -> EmbedderRegistry:
    return EmbedderRegistry(embedders, preferred, 10)


@pytest.fixture
async def database(own_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(own_url)
    yield connection
    await connection.close()


async def vectors(database: asyncpg.Connection, table: str = "embedding_minilm") -> dict[str, np.ndarray]:
    rows = await database.fetch(
        f"SELECT description, vector::text FROM {table} JOIN explanation ON explanation.id = explanation_id"  # noqa: S608
    )
    return {row["description"]: np.array(row["vector"].strip("[]").split(","), float) for row in rows}


async def has_index(database: asyncpg.Connection) -> bool:
    return bool(await database.fetchval("SELECT to_regclass('ix_embedding_minilm_vector') IS NOT NULL"))


async def count(database: asyncpg.Connection) -> int:
    return int(await database.fetchval("SELECT count(*) FROM embedding_minilm") or 0)


async def test_interrupted_work_is_continued(
    database: asyncpg.Connection, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_service, "BATCH_SIZE", 20)
    stopped = FakeEmbedder(batches=3)
    with pytest.raises(EmbedderError, match=r"Out of order\."):
        await embed_missing(own_url, registry(stopped))
    assert await count(database) == 60
    embedder = FakeEmbedder()
    total = int(await database.fetchval("SELECT count(*) FROM explanation") or 0)
    assert await embed_missing(own_url, registry(embedder)) == total - 60
    assert await count(database) == total
    assert await embed_missing(own_url, registry(FakeEmbedder(batches=0))) == 0
    for text, vector in (await vectors(database)).items():
        assert vector == pytest.approx(embedding(text, 384), abs=1e-3)


async def test_equal_texts_are_embedded_once(database: asyncpg.Connection, own_url: str) -> None:
    embedder = FakeEmbedder()
    assert await embed_missing(own_url, registry(embedder)) == 180
    # the three sources have the same explanations
    assert len(embedder.texts) == len(set(embedder.texts)) == 59


async def test_two_embedders_at_once_take_turns(database: asyncpg.Connection, own_url: str) -> None:
    counts = await asyncio.gather(*(embed_missing(own_url, registry(FakeEmbedder())) for _ in range(2)))
    assert sorted(counts) == [0, 180]


async def test_the_index_is_built_after_many_vectors_also_by_the_next_run(
    database: asyncpg.Connection, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_service, "BATCH_SIZE", 20)
    monkeypatch.setattr(embedding_service, "REBUILD_MINIMUM", 100)
    assert await has_index(database)
    with pytest.raises(EmbedderError):
        await embed_missing(own_url, registry(FakeEmbedder(batches=6)))
    assert not await has_index(database)
    await embed_missing(own_url, registry(FakeEmbedder()))
    assert await has_index(database)


async def test_an_explanation_deleted_meanwhile_is_skipped(database: asyncpg.Connection, own_url: str) -> None:
    class Deleting(FakeEmbedder):
        async def embed(self, texts: Sequence[str]) -> Vectors:
            await database.execute("DELETE FROM explanation WHERE index = 5")
            return await super().embed(texts)

    await embed_missing(own_url, registry(Deleting()))
    assert await count(database) == 177


async def test_a_change_of_embedder_is_visible_once_it_is_complete(
    database: asyncpg.Connection, own_url: str, running_provider: LlmProvider
) -> None:
    await embed_missing(own_url, registry(FakeEmbedder()))
    running_provider.reset()
    running_provider.script(Reply(status=401))
    openai = OpenAiEmbedder(SecretStr(KEY), running_provider.base_url, 5)
    both_embedders = registry(FakeEmbedder(), openai)
    with pytest.raises(EmbedderError):
        await switch_embedder(own_url, both_embedders, OPENAI)
    active = "SELECT DISTINCT active_embedder FROM source"
    assert await database.fetchval(active) == MINILM
    assert await switch_embedder(own_url, both_embedders, OPENAI) == 180
    assert await database.fetchval(active) == OPENAI
    assert await count(database) == 0
    for text, vector in (await vectors(database, "embedding_openai")).items():
        assert vector == pytest.approx(embedding(text, 256), abs=1e-3)
    # a server without that embedder does not change such sources
    await database.execute("DELETE FROM embedding_openai")
    assert await embed_missing(own_url, registry(FakeEmbedder())) == 0
    await openai.close()


async def test_the_server_embeds_what_is_new(
    database: asyncpg.Connection, own_url: str, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(own_url, embed_every_seconds=0.05) as client:
        async with asyncio.timeout(30):
            while await count(database) < 180:  # noqa: ASYNC110 (PostgreSQL tells nobody)
                await asyncio.sleep(0.05)
        await database.execute(
            """INSERT INTO explanation (source_id, index, description, method, author_id)
               SELECT id, 7, 'a herd of zebras', 'human', 1 FROM source WHERE name = '1-res'"""
        )
        async with asyncio.timeout(30):
            while not (await vectors(database)).get("a herd of zebras", np.empty(0)).size:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        response = await client.post("/api/explanation/search-all", json={"query": "striped African animals"})
        assert response.json()["results"][0]["description"] == "a herd of zebras"


class BrokenEmbedder(FakeEmbedder):
    """Raises each of `errors` once, in this order, then works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.errors:
            raise self.errors.pop(0)
        return await super().embed(texts)


async def test_the_background_embedder_survives_every_error_and_reports_it(
    database: asyncpg.Connection, own_url: str
) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail  # pyright: ignore[reportAttributeAccessIssue]

    errors = [ImportError("no module named onnxruntime"), Fail("out of memory"), EmbedderError("No credit.")]
    broken = BrokenEmbedder(*errors)
    settings = Settings(_env_file=None, database_url=own_url)  # pyright: ignore[reportCallIssue]
    server_database = Database(own_url, settings)
    background = BackgroundEmbedder(server_database, registry(broken), every_seconds=30)
    assert background.status.state == "idle"
    task = asyncio.create_task(background.run())
    try:
        for failures, reported in enumerate(["(ImportError)", "(Fail)", "No credit."], start=1):
            async with asyncio.timeout(10):
                while background.status.failures < failures:  # noqa: ASYNC110 (there is no event for it)
                    await asyncio.sleep(0.01)
            status = background.status
            assert status.state == "failing" and reported in (status.error or "")
            # 60, 120, 240 s: each pause is twice the one before
            assert status.retry_in_seconds == pytest.approx(30 * 2**failures, abs=5)
            assert "The next attempt is in" in (status.problem or "")
            background.wake()
        async with asyncio.timeout(30):
            while await count(database) < 180:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            while background.status.state != "idle":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert background.status.error is None and background.status.problem is None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server_database.close()


async def test_health_has_the_state_of_the_embedder(
    own_url: str, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MiniLmEmbedder, "encode", BrokenEncoder(RuntimeError("no memory")))
    async with started(own_url, embed_every_seconds=20) as client:
        async with asyncio.timeout(10):
            while (health := (await client.get("/health")).json())["status"] == "healthy":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert health["status"] == "degraded"
        embedder = health["embedder"]
        assert (embedder["state"], embedder["failures"]) == ("failing", 1)
        assert embedder["error"] == "The embedder failed unexpectedly (RuntimeError); the server's log has the details."
        assert embedder["retry_in_seconds"] == pytest.approx(40, abs=5)
        # the page gives the reason for a search by words only, and the time of the next attempt
        page = (await client.get("/search-explanations?q=the+whale")).text
        assert "The embedder failed unexpectedly (RuntimeError)" in page and "The next attempt is in" in page
    async with started(own_url, embed_every_seconds=0) as client:
        health = (await client.get("/health")).json()
        assert health["status"] == "healthy" and health["embedder"]["state"] == "disabled"


async def test_embedding_waits_while_inference_loads(
    own_url: str, started: Start, inference: FakeInferenceServer, database: asyncpg.Connection
) -> None:
    inference.state = "loading"
    settings = {"embed_every_seconds": 0.1, "inference_poll_seconds": 0.1}
    async with started(own_url, **settings) as client:
        # the embedder may have started before the first check ended; from then on it waits before each batch
        async with asyncio.timeout(20):
            while (await client.get("/health")).json()["inference"][0]["state"] != "loading":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await database.execute("TRUNCATE embedding_minilm")
        n_checks = len(inference.checks)
        async with asyncio.timeout(30):
            # the embedder looks for work as often as inference is checked
            while len(inference.checks) < n_checks + 15:
                assert await count(database) == 0
                await asyncio.sleep(0.02)
        inference.state = "ready"
        async with asyncio.timeout(30):
            while await count(database) < 180:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    # the wait has a limit
    await database.execute("TRUNCATE embedding_minilm")
    inference.state = "loading"
    async with started(own_url, **settings, embed_wait_seconds=0.5):
        async with asyncio.timeout(30):
            while await count(database) < 180:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


class BrokenEncoder:
    """Replaces `MiniLmEmbedder.encode` in the background only; queries are embedded as usual."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, texts: Sequence[str]) -> Vectors:
        if len(texts) > 1:
            raise self.error
        return np.array([embedding(text, 384) for text in texts], np.float32)


async def test_the_command_waits_until_all_is_done(database: asyncpg.Connection, own_url: str) -> None:
    async def run(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "memicos_webapp.embeddings.commands", *arguments,
            env={"DATABASE_URL": own_url, **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    assert (await run())[:2] == (0, "180 explanations embedded\n")
    assert await count(database) == 180
    assert await run("--switch", "openai") == (1, "", "embed: openai needs OPENAI_API_KEY\n")
