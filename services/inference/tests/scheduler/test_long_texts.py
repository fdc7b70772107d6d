"""Texts that are too long: refused before anything is queued, and tokenised beside the model's thread, in turns."""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import httpx
import pytest
from memicos_engine.model.language_model import LanguageModel
from memicos_inference.app import create_app
from memicos_inference.scheduler.jobs import DirectJob, Job, TextJob
from memicos_inference.scheduler.pending_request import PendingRequest
from memicos_inference.scheduler.scheduler import Scheduler
from memicos_inference.scheduler.tokenizer_thread import TokenizerThread
from memicos_inference.tokenization import service as tokenization
from memicos_testing.json_bodies.event_stream import events
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

CHARACTERS = 1_000_000
LONG = "Alice sat on the bank. " * (CHARACTERS // 23)
CONVERSATION = [{"role": "user", "content": LONG}]
ROLES = [{"role": LONG, "content": "Alice"}]
OPTIONS: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Alice"}],
    "chat_template_kwargs": {"documents": [{"text": LONG}]},
}
NUMBERS = {"messages": [{"role": "user", "content": "Alice"}], "chat_template_kwargs": {"seeds": [1] * CHARACTERS}}
BATCH_OF_PROMPTS = [{"prompts": ["Alice", LONG]}, {"messages": [CONVERSATION]}]
ONE_PROMPT = [{"prompt": LONG}, {"messages": CONVERSATION}, {"messages": ROLES}, OPTIONS, NUMBERS]
SINGLE = {"source": "1-small", "index": 3}
ALL = {"source_set": "small"}
STEER = {"types": ["DEFAULT"], "features": [], "n_completion_tokens": 2, "temperature": 0}

BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/tokenize": [{"text": LONG}],
    "/v1/apply-chat-template": [{"messages": CONVERSATION}, {"messages": ROLES}, OPTIONS, NUMBERS],
    "/v1/activation/single": [SINGLE | text for text in ONE_PROMPT],
    "/v1/activation/single-batch": [SINGLE | texts for texts in BATCH_OF_PROMPTS],
    "/v1/activation/all": [ALL | text for text in ONE_PROMPT],
    "/v1/activation/all-batch": [ALL | texts for texts in BATCH_OF_PROMPTS],
    "/v1/activation/topk-by-token": [{"source": "1-small"} | text for text in ONE_PROMPT],
    "/v1/activation/topk-by-token-batch": [{"source": "1-small"} | texts for texts in BATCH_OF_PROMPTS],
    "/v1/activation/source": [{"source": "1-small"} | texts for texts in BATCH_OF_PROMPTS],
    "/v1/activation/raw": BATCH_OF_PROMPTS,
    "/v1/steer/completion": [STEER | {"prompt": LONG}, STEER | {"prompt": LONG, "stream": True}],
    "/v1/steer/completion-chat": [STEER | {"prompt": CONVERSATION}, STEER | {"prompt": ROLES}],
}
"""Bodies with too long a text, for every route that takes one."""
WITHOUT_TEXTS = {"/v1/util/sae-vector", "/v1/util/sae-topk-by-decoder-cossim", "/v1/admin/sources"}
CASES = [(path, number) for path, bodies in BODIES.items() for number in range(len(bodies))]


@pytest.fixture(scope="module")
async def templated(serve_for_module: Serve, templated_model: Any) -> str:
    return await serve_for_module(custom_hf_model_id=str(templated_model), selftest_seconds=0)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Jobs that were queued for the tokenizer's or the model's thread."""
    jobs: list[object] = []
    monkeypatch.setattr(TokenizerThread, "add", lambda self, pending, job: jobs.append(job))
    monkeypatch.setattr(Scheduler, "_arrive", lambda self, pending, job: jobs.append(job))
    return jobs


def test_every_route_that_takes_a_text_is_tested(settings: Callable[..., Any]) -> None:
    document = create_app(settings()).openapi()
    posts = {path for path, methods in document["paths"].items() if "post" in methods}
    assert posts == BODIES.keys() | WITHOUT_TEXTS


@pytest.mark.parametrize(("path", "number"), CASES)
async def test_a_text_of_too_many_characters_is_refused_before_it_is_queued(
    templated: str, queued: list[object], path: str, number: int
) -> None:
    body = {"model": NAME} | BODIES[path][number]
    async with httpx.AsyncClient(base_url=templated, timeout=10) as http:
        response = await http.post(path, json=body)
    assert response.status_code == 400, response.text[:300]
    assert response.json()["cause"] == "invalid_request" and response.json()["error"].startswith("Text too long: ")
    assert len(response.text) < 400
    assert queued == []


async def test_many_texts_together_are_refused_before_they_are_queued(serve: Serve, queued: list[object]) -> None:
    url = await serve(batch_tokens=100, selftest_seconds=0, sae_sets=("small",))
    async with httpx.AsyncClient(base_url=url) as http:
        texts = ["a" * 500] * 60
        body = {"model": NAME, "prompts": texts, "source": "1-small"}
        response = await http.post("/v1/activation/source", json=body)
        assert response.status_code == 400 and "INFERENCE_BATCH_TOKENS" in response.text
    assert queued == []


async def test_capabilities_state_the_limit_and_texts_up_to_it_are_tokenised(templated: str) -> None:
    async with httpx.AsyncClient(base_url=templated) as http:
        limits = (await http.get("/v1/capabilities")).json()["limits"]
        most = limits["max_text_characters"]
        assert most % limits["token_limit"] == 0 and most >= 10 * limits["token_limit"]
        at_limit = await http.post("/v1/tokenize", json={"model": NAME, "text": "a" * most})
        beyond = await http.post("/v1/tokenize", json={"model": NAME, "text": "a" * (most + 1)})
    assert "tokens, max is" in at_limit.json()["error"]
    assert f"{most + 1:,} characters, max is {most:,}" in beyond.json()["error"]


async def test_a_rendered_conversation_of_too_many_characters_is_not_tokenised(
    serve: Serve, templated_model: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template may write a text many times."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(templated_model)
    tokenizer.chat_template = "{% for i in range(100000) %}{{ messages[0].content }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    AutoModelForCausalLM.from_pretrained(templated_model).save_pretrained(tmp_path)
    url = await serve(custom_hf_model_id=str(tmp_path), selftest_seconds=0, sae_sets=("small",))
    lengths: list[int] = []
    real = LanguageModel.text_ids

    def text_ids(self: LanguageModel, text: str) -> list[int]:
        lengths.append(len(text))
        return real(self, text)

    monkeypatch.setattr(LanguageModel, "text_ids", text_ids)
    body = {"model": NAME, **SINGLE, "messages": [{"role": "user", "content": "Alice sat"}]}
    chat = {"model": NAME, **STEER, "prompt": body["messages"]}
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        for path, content in (("/v1/activation/single", body), ("/v1/steer/completion-chat", chat)):
            response = await http.post(path, json=content)
            assert response.status_code == 400 and response.json()["error"].startswith("Text too long: 900,000"), path
        template = await http.post("/v1/apply-chat-template", json={"model": NAME, "messages": body["messages"]})
        assert template.status_code == 400 and template.json()["error"].startswith("Text too long: 900,000")
    assert lengths == []


class HeldTokenizer:
    """Texts that begin with `hold` are tokenised only after `go`."""

    def __init__(self) -> None:
        self.go, self.reached = threading.Event(), threading.Event()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldTokenizer]:
    tokenizer, real = HeldTokenizer(), LanguageModel.text_ids

    def text_ids(self: LanguageModel, text: str) -> list[int]:
        if text.startswith("hold"):
            tokenizer.reached.set()
            tokenizer.go.wait(30)
        return real(self, text)

    monkeypatch.setattr(LanguageModel, "text_ids", text_ids)
    yield tokenizer
    tokenizer.go.set()


async def test_a_text_that_is_tokenised_holds_neither_the_model_nor_the_event_loop(
    templated: str, held: HeldTokenizer
) -> None:
    text = {"model": NAME, "text": "hold this"}
    stream = {"model": NAME, "prompt": "Alice", **STEER, "n_completion_tokens": 40, "stream": True}
    async with httpx.AsyncClient(base_url=templated, timeout=20) as http:
        async with http.stream("POST", "/v1/steer/completion", json=stream) as response:
            parts = response.aiter_text()
            content = await anext(parts)
            slow = asyncio.create_task(http.post("/v1/tokenize", json=text))
            await asyncio.to_thread(held.reached.wait, 10)
            assert (await http.get("/v1/capabilities")).status_code == 200
            content += "".join([part async for part in parts])
        assert not slow.done()
        held.go.set()
        assert (await slow).status_code == 200
    assert len(events(content)[-1][1]["outputs"][0]["token_ids"]) == 40


async def test_a_request_that_is_cancelled_is_not_tokenised(templated: str, held: HeldTokenizer) -> None:
    async with httpx.AsyncClient(base_url=templated, timeout=20) as http:
        slow = asyncio.create_task(http.post("/v1/tokenize", json={"model": NAME, "text": "hold this"}))
        await asyncio.to_thread(held.reached.wait, 10)
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/v1/tokenize", json={"model": NAME, "text": "left"}, timeout=0.2)
        held.go.set()
        assert (await slow).status_code == 200
        load = 1
        async with asyncio.timeout(10):
            while load:
                load = (await http.get("/health")).json()["load"]


async def test_texts_of_clients_are_tokenised_in_turn() -> None:
    """A client's batches of many texts do not delay the one text of another by more than one text."""
    order: list[str] = []
    done: list[PendingRequest] = []
    changed = threading.Event()

    def hand_over(pending: PendingRequest, job: Job) -> None:
        done.append(pending)
        changed.set()

    def job(name: str, texts: int) -> TextJob[str]:
        def tokenize(_: Any) -> Generator[None, None, str]:
            for number in range(texts):
                order.append(f"{name}{number}")
                yield
            return name

        return TextJob(lambda _: None, tokenize, lambda name: DirectJob(lambda _: name.encode()))

    thread = TokenizerThread(hand_over)
    for name, client, texts in (("a", "many", 3), ("b", "many", 3), ("c", "few", 1), ("d", "other", 2)):
        thread.add(PendingRequest(client), job(name, texts))
    assert thread.n_waiting == 4
    thread.start(None)  # pyright: ignore[reportArgumentType]
    while len(done) < 4:
        assert await asyncio.to_thread(changed.wait, 10)
        changed.clear()
    thread.stop()
    assert order == ["a0", "c0", "d0", "a1", "d1", "a2", "b0", "b1", "b2"]
    assert thread.n_waiting == 0


async def test_a_fault_ends_its_request_and_not_the_thread(templated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: LanguageModel, text: str) -> list[int]:
        raise RuntimeError("the reason")

    body = {"model": NAME, "text": "Alice"}
    async with httpx.AsyncClient(base_url=templated, timeout=20) as http:
        with monkeypatch.context() as patch:
            patch.setattr(LanguageModel, "text_ids", fail)
            assert (await http.post("/v1/tokenize", json=body)).status_code == 500
        with monkeypatch.context() as patch:
            patch.setattr(tokenization, "_respond", None)
            assert (await http.post("/v1/tokenize", json=body)).status_code == 500
        assert (await http.post("/v1/tokenize", json=body)).status_code == 200


async def test_a_shutdown_ends_requests_that_wait_to_be_tokenised() -> None:
    thread = TokenizerThread(lambda pending, job: None)
    pending = PendingRequest("client")
    thread.add(pending, TextJob(lambda _: None, lambda _: iter(()), lambda _: DirectJob(lambda _: b"")))  # pyright: ignore[reportArgumentType]
    thread.stop()
    thread.start(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(Exception, match="shutting down"):
        async for _ in pending.bodies():
            pass
