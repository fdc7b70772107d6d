"""Order of work in the model's thread: captures between steps, clients that disconnect, requests that are refused."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from memicos_engine.generation.decoder import Decoder
from memicos_engine.generation.generation import Generation
from memicos_inference.scheduler.scheduler import Scheduler
from memicos_inference_client import Client
from memicos_inference_client.api.activation import activation_single
from memicos_inference_client.api.steer import steer_completion
from memicos_inference_client.models import CompletionRequest, SingleRequest, SingleResponse
from memicos_testing.inference_metrics import disconnects, until_disconnects, until_rows
from memicos_testing.models.small_model import NAME
from memicos_testing.servers import Serve

LONG: dict[str, Any] = {
    "model": NAME,
    "prompt": "Alice",
    "types": ["DEFAULT"],
    "features": [],
    "n_completion_tokens": 100,
    # a high temperature, so that no EOS ends it early
    "temperature": 50,
    "seed": 3,
}
SHORT = {"model": NAME, "prompt": "Alice sat", "source": "1-small", "index": 3}


class Steps:
    """Counts submitted jobs and generated tokens; tokens wait until `go`."""

    def __init__(self) -> None:
        self.submitted = 0
        self.count = 0
        self.sizes: list[int] = []
        """How many tokens the generation that got each is to write."""
        self.go = threading.Event()
        self.go.set()
        self.reached = threading.Event()


@pytest.fixture
def steps(real_probe: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    steps = Steps()

    def held(real: Callable[..., list[Generation]]) -> Callable[..., list[Generation]]:
        def run(self: Decoder, *args: Any) -> list[Generation]:
            steps.reached.set()
            assert steps.go.wait(30)
            advanced = real(self, *args)
            steps.count += len(advanced)
            steps.sizes += [generation.n_tokens for generation in advanced]
            return advanced

        return run

    submit = Scheduler.submit

    def counted(self: Scheduler, job: Any, client: str) -> Any:
        work = submit(self, job, client)
        steps.submitted += 1
        return work

    monkeypatch.setattr(Decoder, "prefill", held(Decoder.prefill))
    monkeypatch.setattr(Decoder, "step", held(Decoder.step))
    monkeypatch.setattr(Scheduler, "submit", counted)
    yield steps
    steps.go.set()


async def until_submitted(steps: Steps, number: int) -> None:
    for _ in range(1000):
        if steps.submitted >= number:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(steps.submitted)


async def test_a_capture_runs_between_two_steps(client: Client, steps: Steps) -> None:
    async with aclosing(steer_completion.astream(client=client, body=CompletionRequest.from_dict(LONG))) as frames:
        await anext(frames)
        response = await activation_single.asyncio(client=client, body=SingleRequest.from_dict(SHORT))
        assert isinstance(response, SingleResponse)
        assert 0 < steps.count < 95
        remaining_frames = [frame async for frame in frames]
    assert remaining_frames[-1].outputs[0].finished == "length" and steps.count == 100


async def test_two_generations_advance_in_turn(client: Client, steps: Steps) -> None:
    order: list[str] = []

    async def read(name: str) -> None:
        async with aclosing(steer_completion.astream(client=client, body=CompletionRequest.from_dict(LONG))) as frames:
            async for _ in frames:
                order.append(name)

    steps.go.clear()
    readers = [asyncio.create_task(read(name)) for name in "ab"]
    await until_submitted(steps, 2)
    steps.go.set()
    await asyncio.gather(*readers)
    # each begins before the other ends
    assert {"a", "b"} == set(order[:6]) and steps.count == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_generation_within_a_step(
    url: str, client: Client, steps: Steps, stream: bool
) -> None:
    steps.go.clear()
    async with httpx.AsyncClient(base_url=url) as http:
        task = asyncio.create_task(http.post("/v1/steer/completion", json=LONG | {"stream": stream}))
        await asyncio.to_thread(steps.reached.wait)
        cancelled_at = await disconnects(http)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until_disconnects(http, cancelled_at + 1)
        steps.go.set()
        response = await activation_single.asyncio(client=client, body=SingleRequest.from_dict(SHORT))
        assert isinstance(response, SingleResponse)
        await until_rows(http, 0)
    assert steps.count <= 2


async def test_a_reader_that_leaves_a_stream_frees_it(url: str, client: Client, steps: Steps) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        cancelled_at = await disconnects(http)
        async with aclosing(steer_completion.astream(client=client, body=CompletionRequest.from_dict(LONG))) as frames:
            await anext(frames)
            steps.go.clear()
        steps_before = steps.count
        await until_disconnects(http, cancelled_at + 1)
        steps.go.set()
        await until_rows(http, 0)
    assert steps.count <= steps_before + 2


async def test_state_and_capabilities_are_answered_while_the_model_thread_is_held(serve: Serve, steps: Steps) -> None:
    url = await serve(max_waiting=1, sae_sets=("small",), selftest_seconds=0)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        idle = await http.get("/v1/capabilities")
        assert {source["loaded"] for source in idle.json()["sources"]} == {False}
        assert (await http.post("/v1/activation/single", json=SHORT)).status_code == 200
        steps.go.clear()
        held = asyncio.create_task(http.post("/v1/steer/completion", json=LONG | {"n_completion_tokens": 3}))
        await asyncio.to_thread(steps.reached.wait)
        waiting = asyncio.create_task(http.post("/v1/activation/single", json=SHORT))
        await until_submitted(steps, 3)
        try:
            # the queue is full as well
            busy = await http.get("/v1/capabilities", timeout=5)
            assert (await http.get("/health", timeout=5)).json()["load"] >= 1
        finally:
            steps.go.set()
        await asyncio.gather(held, waiting)
    assert busy.status_code == 200 and busy.headers["content-type"] == "application/json"
    in_memory = [source["id"] for source in busy.json()["sources"] if source["loaded"]]
    assert in_memory == ["1-small"]
    assert {**busy.json(), "sources": None, "selftest": None} == {**idle.json(), "sources": None, "selftest": None}
    assert [source["id"] for source in busy.json()["sources"]] == [source["id"] for source in idle.json()["sources"]]


async def test_requests_over_the_queue_limit_are_refused_and_the_others_served(serve: Serve, steps: Steps) -> None:
    # the self-test also runs steps
    url = await serve(max_waiting=2, max_rows=1, sae_sets=("small",), selftest_seconds=0)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        steps.go.clear()
        first = asyncio.create_task(http.post("/v1/steer/completion", json=LONG | {"n_completion_tokens": 3}))
        await asyncio.to_thread(steps.reached.wait)
        waiting = [asyncio.create_task(http.post("/v1/activation/single", json=SHORT)) for _ in range(2)]
        await until_submitted(steps, 3)
        refused = await http.post("/v1/activation/single", json=SHORT)
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
        assert refused.json()["cause"] == "busy" and "INFERENCE_MAX_WAITING" in refused.json()["error"]
        assert (await http.get("/health")).json()["ready"]
        # a cancelled request frees its place in the queue
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        await until_disconnects(http, 1)
        late = asyncio.create_task(http.post("/v1/activation/single", json=SHORT))
        await until_submitted(steps, 4)
        steps.go.set()
        responses = await asyncio.gather(first, waiting[1], late)
    assert [response.status_code for response in responses] == [200, 200, 200]


async def test_a_generation_waits_for_memory_and_one_that_can_never_fit_is_refused(serve: Serve, steps: Steps) -> None:
    # 4 layers, 2 heads of 32, keys and values in float32
    position = 2 * 4 * 2 * 32 * 4
    url = await serve(kv_bytes=90 * position, sae_sets=("small",), selftest_seconds=0)

    async def complete(http: httpx.AsyncClient, n_tokens: int) -> httpx.Response:
        return await http.post("/v1/steer/completion", json=LONG | {"n_completion_tokens": n_tokens})

    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        refused = await complete(http, 100)
        assert refused.status_code == 400
        assert f"need {position * 102:,} bytes; {position * 90:,} are available" in refused.json()["error"]

        steps.go.clear()
        first = asyncio.create_task(complete(http, 40))
        await asyncio.to_thread(steps.reached.wait)
        second = asyncio.create_task(complete(http, 60))
        await until_submitted(steps, 3)
        third = asyncio.create_task(complete(http, 5))
        await until_submitted(steps, 4)
        steps.go.set()
        responses = await asyncio.gather(first, second, third)
        assert [response.status_code for response in responses] == [200, 200, 200] and steps.count == 105
        # the third would fit beside the first, but does not start before the second
        assert steps.sizes == [40] * 40 + [60] * 60 + [5] * 5

        # a cancelled generation frees its memory
        steps.go.clear()
        steps.reached.clear()
        fourth = asyncio.create_task(complete(http, 40))
        await asyncio.to_thread(steps.reached.wait)
        fifth = asyncio.create_task(complete(http, 60))
        await until_submitted(steps, 6)
        fourth.cancel()
        await asyncio.gather(fourth, return_exceptions=True)
        await until_disconnects(http, 1)
        steps.go.set()
        assert (await fifth).status_code == 200 and steps.count <= 105 + 2 + 60


async def test_health_answers_while_the_model_is_busy(url: str, steps: Steps) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        steps.go.clear()
        long = asyncio.create_task(http.post("/v1/steer/completion", json=LONG | {"n_completion_tokens": 2}))
        await asyncio.to_thread(steps.reached.wait)
        health = await asyncio.wait_for(http.get("/health"), 2)
        assert health.json()["state"] == "ready"
        steps.go.set()
        assert (await long).status_code == 200


async def test_sources_are_evicted_and_loaded_again(serve: Serve) -> None:
    url = await serve(max_loaded_saes=2, sae_sets=("small",))

    async def loaded(http: httpx.AsyncClient) -> list[str]:
        sources = (await http.get("/v1/capabilities")).json()["sources"]
        return [source["id"] for source in sources if source["loaded"]]

    async with httpx.AsyncClient(base_url=url) as http:
        assert await loaded(http) == []
        assert (await http.post("/v1/activation/single", json=SHORT | {"source": "2-small"})).status_code == 200
        first = (await http.post("/v1/activation/single", json=SHORT)).json()
        assert (await http.post("/v1/activation/single", json=SHORT | {"source": "3-small"})).status_code == 200
        assert await loaded(http) == ["1-small", "3-small"]
        assert (await http.post("/v1/activation/single", json=SHORT | {"source": "2-small"})).status_code == 200
        assert (await http.post("/v1/activation/single", json=SHORT)).json() == first
        everything = {"model": NAME, "prompt": "Alice", "source_set": "small"}
        response = await http.post("/v1/activation/all", json=everything)
        assert response.status_code == 400
        assert "Number of requested SAEs (3) exceeds the maximum allowed (2" in response.json()["error"]
