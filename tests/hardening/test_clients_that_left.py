"""A client that disconnects from the webapp ends its work at a real inference server within one step, also without a
stream, and both servers log 499."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from memicos_engine.capture import batched_ops
from memicos_engine.generation.decoder import Decoder
from memicos_inference.app import create_app as create_inference
from memicos_inference.settings import Settings as InferenceSettings
from memicos_testing.inference_metrics import disconnects, until_disconnects, until_rows, until_waiting
from memicos_testing.models.small_model import small_model, small_sae, write_extras
from memicos_testing.servers import running
from memicos_testing.webapp.small_dataset import write_dataset
from memicos_webapp.app import create_app as create_webapp
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load
from memicos_webapp.settings import Settings as WebappSettings
from transformers import AutoTokenizer

pytestmark = pytest.mark.slow

SOURCES = ("1-res", "2-res", "3-res")
TEMPLATE = "{{ bos_token }}{% for turn in messages %}{{ turn.role }}: {{ turn.content }}<eos>{% endfor %}assistant:"
MESSAGES = [{"role": "user", "content": "Alice sat"}]
STEERING = {
    "modelId": "small",
    "features": [{"modelId": "small", "layer": "1-res", "index": 5, "strength": 2}],
    "n_tokens": 100,
    "temperature": 2,
}
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "/api/steer": ("POST", {"json": {**STEERING, "prompt": "Alice sat"}}),
    "/api/steer-chat": (
        "POST",
        {"json": {**STEERING, "defaultChatMessages": MESSAGES, "steeredChatMessages": MESSAGES}},
    ),
    "/api/search-all": ("POST", {"json": {"modelId": "small", "sourceSet": "res", "text": "the whale rose"}}),
    "/api/search-topk-by-token": ("POST", {"json": {"modelId": "small", "source": "1-res", "text": "the whale rose"}}),
    "/api/activation/new": (
        "POST",
        {
            "json": {
                "feature": {"modelId": "small", "layer": "1-res", "index": "5"},
                "customText": "the whale rose",
            }
        },
    ),
    "/search/results?q=the+whale+rose&modelId=small&sourceSet=res": ("GET", {}),
}


@dataclass
class Steps:
    """Steps of the model's thread: tokens that are generated, and operations on a source. They wait until `go`."""

    go: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    count: int = 0


@dataclass(frozen=True)
class Stack:
    webapp: httpx.AsyncClient
    inference: httpx.AsyncClient


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    dataset = tmp_path_factory.mktemp("dataset")
    model = small_model(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(model)
    for name in SOURCES:
        small_sae(folder / "saes" / name, int(name[0]), 64, seed=int(name[0]))
        write_extras(folder / "saes" / name, [0], None)
    own: dict[str, Any] = {
        "model_id": "small",
        "custom_hf_model_id": str(model),
        "sae_folder": folder / "saes",
        "sae_sets": ("res",),
        "device": "cpu",
        "selftest_seconds": 0,
        "selftest_results": folder / "selftest",
        # the same requests are run again
        "text_cache_bytes": 0,
        "residual_cache_bytes": 0,
    }
    write_dataset(dataset)
    async with AsyncExitStack() as exits:
        database = exits.enter_context(temporary())
        await migrate(database)
        await load(dataset, database)
        inference_url = await exits.enter_async_context(running(create_inference(InferenceSettings(**own))))
        inference = await exits.enter_async_context(httpx.AsyncClient(base_url=inference_url, timeout=60))
        while not (health := (await inference.get("/health")).json())["ready"]:
            assert health["state"] != "failed", health
            await asyncio.sleep(0.05)
        values: dict[str, Any] = {"database_url": database, "inference_url": inference_url, "embed_every_seconds": 0}
        settings = WebappSettings(_env_file=None, **values)  # pyright: ignore[reportCallIssue]
        webapp_url = await exits.enter_async_context(running(create_webapp(settings)))
        webapp = await exits.enter_async_context(httpx.AsyncClient(base_url=webapp_url, timeout=60))
        yield Stack(webapp, inference)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    steps = Steps()
    steps.go.set()

    def held(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            steps.reached.set()
            assert steps.go.wait(30)
            steps.count += 1
            return function(*args)

        return run

    for name in ("prefill", "step"):
        monkeypatch.setattr(Decoder, name, held(getattr(Decoder, name)))
    monkeypatch.setattr(batched_ops, "run_operations", held(batched_ops.run_operations))
    yield steps
    steps.go.set()


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_client_that_leaves_ends_its_work_within_a_step(
    stack: Stack, steps: Steps, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "memicos_webapp.requests")
    method, content = REQUESTS[path]
    complete = await stack.webapp.request(method, path, **content)
    assert complete.status_code == 200, complete.text
    assert steps.count > 0
    before = await disconnects(stack.inference)
    steps.count = 0
    steps.reached.clear()
    steps.go.clear()
    call = asyncio.create_task(stack.webapp.request(method, path, **content))
    assert await asyncio.to_thread(steps.reached.wait, 30)
    caplog.clear()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await until_disconnects(stack.inference, before + 1)
    steps.go.set()
    await until_rows(stack.inference, 0)
    await until_waiting(stack.inference)
    assert steps.count == 1
    async with asyncio.timeout(10):
        while not (statuses := [getattr(record, "status", None) for record in caplog.records]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert statuses == [499]
