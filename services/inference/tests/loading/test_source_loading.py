"""Weights of sources are read outside the model's thread: streams and other requests go on during a load."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from memicos_engine.errors import LoadError
from memicos_engine.sources import source_candidates
from memicos_inference_client import Client
from memicos_inference_client.api.steer import steer_completion
from memicos_inference_client.models import CompletionRequest
from memicos_testing.inference_metrics import metric_values, until_waiting, waiting_requests
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

GENERATION: dict[str, Any] = {
    "model": NAME,
    "prompt": "Alice",
    "types": ["DEFAULT"],
    "features": [],
    "n_completion_tokens": 60,
    "temperature": 50,
    "seed": 3,
}
COLD = "2-small"
COLD_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/activation/single", {"model": NAME, "prompt": "Alice sat", "source": COLD, "index": 3}),
    ("/v1/util/sae-vector", {"model": NAME, "source": COLD, "index": 3}),
    (
        "/v1/steer/completion",
        GENERATION
        | {"types": ["STEERED"], "features": [{"model": NAME, "source": COLD, "index": 3, "strength": 1.0}]}
        | {"n_completion_tokens": 2},
    ),
]


class Loads:
    """Loads of COLD wait until `go`; `threads` are the threads that loaded it. With `error` they fail."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = threading.Event()
        self.threads: list[str] = []
        self.error: LoadError | None = None


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loads]:
    loads = Loads()
    real: Callable[..., Any] = source_candidates.with_load_errors

    def held(candidate: Any, read_source: Callable[[], Any], selection: Any) -> Any:
        if candidate.id == COLD and read_source is candidate.load:
            loads.threads.append(threading.current_thread().name)
            loads.started.set()
            assert loads.go.wait(60)
            if loads.error is not None:
                raise loads.error
        return real(candidate, read_source, selection)

    monkeypatch.setattr(source_candidates, "with_load_errors", held)
    yield loads
    loads.go.set()


@pytest.fixture
async def http(serve: Serve, loads: Loads) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=await serve(sae_sets=("small",)), timeout=60) as http:
        yield http


@pytest.mark.parametrize(("path", "body"), COLD_REQUESTS, ids=["capture", "vector", "generation"])
async def test_streams_and_other_requests_run_while_a_source_is_loaded(
    http: httpx.AsyncClient, loads: Loads, path: str, body: dict[str, Any]
) -> None:
    warm = {"model": NAME, "prompt": "Alice sat", "source": "1-small", "index": 3}
    before = await http.post("/v1/activation/single", json=warm)
    cold = asyncio.create_task(http.post(path, json=body))
    await asyncio.to_thread(loads.started.wait, 20)
    async with Client(str(http.base_url)) as client:
        request = CompletionRequest.from_dict(GENERATION)
        async with aclosing(steer_completion.astream(client=client, body=request)) as frames:
            responses = [frame async for frame in frames]
    assert responses[-1].outputs[0].finished == "length"  # pyright: ignore[reportAttributeAccessIssue]
    assert (await http.post("/v1/activation/single", json=warm)).json() == before.json()
    assert not cold.done()
    loads.go.set()
    assert (await cold).status_code == 200
    assert loads.threads == ["sources"]


async def test_no_thread_remains_after_a_load(http: httpx.AsyncClient, loads: Loads) -> None:
    """A second thread with its own OpenMP threads would slow down every later forward pass."""
    loads.go.set()
    path, body = COLD_REQUESTS[0]
    assert (await http.post(path, json=body)).status_code == 200
    assert loads.threads == ["sources"]
    for thread in threading.enumerate():
        if thread.name == "sources":
            await asyncio.to_thread(thread.join, 20)
            assert not thread.is_alive()


async def test_one_load_serves_all_waiting_requests_and_its_failure_fails_them(
    http: httpx.AsyncClient, loads: Loads
) -> None:
    loads.error = LoadError("Source 2-small: the disk is gone")
    tasks = [asyncio.create_task(http.post(path, json=body)) for path, body in COLD_REQUESTS]
    await asyncio.to_thread(loads.started.wait, 20)
    await until_waiting(http, source=2, answer=1)
    loads.go.set()
    for response in await asyncio.gather(*tasks):
        assert response.status_code == 503
        assert response.json() == {"error": "Source 2-small: the disk is gone", "cause": "load_failed"}
    assert len(loads.threads) == 1
    # a later request tries again
    loads.error = None
    responses = await asyncio.gather(*(http.post(path, json=body) for path, body in COLD_REQUESTS))
    assert [response.status_code for response in responses] == [200, 200, 200] and len(loads.threads) == 2


async def test_a_request_cancelled_during_a_load_is_cleaned_up(http: httpx.AsyncClient, loads: Loads) -> None:
    tasks = [asyncio.create_task(http.post(path, json=body)) for path, body in COLD_REQUESTS]
    await until_waiting(http, source=2, answer=1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # any round of the model's thread drops them
    async with asyncio.timeout(20):
        while await waiting_requests(http):
            assert (await http.post("/v1/tokenize", json={"model": NAME, "text": "Alice"})).status_code == 200
    loads.go.set()
    path, body = COLD_REQUESTS[0]
    assert (await http.post(path, json=body)).status_code == 200 and len(loads.threads) == 1


async def test_a_request_that_waits_too_long_for_a_source_is_ended(serve: Serve, loads: Loads) -> None:
    url = await serve(sae_sets=("small",), wait_seconds=0.4, selftest_seconds=0)
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        # no other request wakes the model's thread
        responses = await asyncio.gather(*(http.post(path, json=body) for path, body in COLD_REQUESTS))
        for response in responses:
            assert response.status_code == 503 and response.json()["cause"] == "busy"
            assert "was not ready within 0.4 seconds (INFERENCE_WAIT_SECONDS)" in response.json()["error"]
            assert int(response.headers["retry-after"]) > 0
        assert await waiting_requests(http) == {}
        assert await metric_values(http, "capture_bytes") == {"": 0}
        # the load goes on, and later requests use it
        loads.go.set()
        async with asyncio.timeout(20):
            while (await http.post(COLD_REQUESTS[1][0], json=COLD_REQUESTS[1][1])).status_code != 200:
                pass
        assert len(loads.threads) == 1


async def test_captured_activations_stay_within_their_budget(serve: Serve, loads: Loads) -> None:
    """One request waits for its source while it holds activations; another waits to be captured."""
    body = {"model": NAME, "prompt": "Alice sat on the bank", "source": COLD, "index": 3}
    async with httpx.AsyncClient(base_url=await serve(sae_sets=("small",)), timeout=60) as http:
        n_tokens = len((await http.post("/v1/tokenize", json={"model": NAME, "text": body["prompt"]})).json()["tokens"])
    nbytes = n_tokens * 128 * 4  # width 128, float32
    url = await serve(sae_sets=("small",), capture_bytes=nbytes, selftest_seconds=0)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        first = asyncio.create_task(http.post("/v1/activation/single", json=body))
        await until_waiting(http, answer=1)
        assert await metric_values(http, "capture_bytes") == {"": nbytes}
        second = asyncio.create_task(http.post("/v1/activation/single", json=body | {"source": "1-small"}))
        await until_waiting(http, answer=1, capture=1)
        assert await metric_values(http, "capture_bytes") == {"": nbytes}
        loads.go.set()
        assert [response.status_code for response in await asyncio.gather(first, second)] == [200, 200]
        assert await metric_values(http, "capture_bytes") == {"": 0}


async def test_a_capture_that_alone_exceeds_the_budget_is_refused_with_both_numbers(serve: Serve) -> None:
    hooks = [f"blocks.{layer}.hook_resid_post" for layer in range(4)]
    async with httpx.AsyncClient(base_url=await serve(capture_bytes=20_000, sae_sets=("small",))) as http:
        raw: dict[str, Any] = {"model": NAME, "prompts": ["Alice sat on the bank"] * 3, "hooks": hooks}
        ids = (await http.post("/v1/tokenize", json={"model": NAME, "text": raw["prompts"][0]})).json()["tokens"]
        refused = await http.post("/v1/activation/raw", json=raw | {"type": "all_tokens"})
        assert refused.status_code == 400, refused.text
        nbytes = 3 * len(ids) * len(hooks) * 128 * 4
        assert f"take {nbytes:,} bytes of memory; at most 20,000 are captured" in refused.json()["error"]
        assert "INFERENCE_CAPTURE_BYTES" in refused.json()["error"]
        assert (await http.get("/v1/capabilities")).json()["limits"]["capture_bytes"] == 20_000
        # only the last positions are kept for this request: 3 prompts x 4 hooks x 128 x 4 bytes
        assert (await http.post("/v1/activation/raw", json=raw)).status_code == 200
