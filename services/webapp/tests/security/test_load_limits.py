"""What a visitor can take from others: long texts, connections to inference, steering requests in progress."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.json_bodies.event_stream import body_of, events, post_without_reading
from memicos_testing.json_bodies.steer_bodies import chat, completion, numbered_words
from memicos_testing.servers import Start, running
from memicos_webapp.app import create_app
from memicos_webapp.settings import Settings
from memicos_webapp.steering import event_stream
from memicos_webapp.steering.read_ahead import read_ahead

TEXT = "the whale rose " * 7
TURNS = [{"role": "user", "content": TEXT}]
FEATURE = {"modelId": "small", "layer": "1-res", "index": "5"}
LONG_TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "activation": ("/api/activation/new", {"json": {"feature": FEATURE, "customText": TEXT}}),
    "activation, list": ("/api/activation/new", {"json": {"feature": FEATURE, "customText": [TEXT, "short"]}}),
    "activation, messages": ("/api/activation/new", {"json": {"feature": FEATURE, "messages": TURNS}}),
    "search": ("/api/search-all", {"json": {"modelId": "small", "sourceSet": "res", "text": TEXT}}),
    "search, messages": ("/api/search-all", {"json": {"modelId": "small", "sourceSet": "res", "messages": TURNS}}),
    "by token": ("/api/search-topk-by-token", {"json": {"modelId": "small", "source": "1-res", "text": TEXT}}),
    "page": ("/small/1-res/5/test", {"data": {"text": TEXT}}),
    "steer": ("/api/steer", {"json": completion(prompt=TEXT)}),
    "steer, stream": ("/api/steer", {"json": completion(prompt=TEXT, stream=True)}),
    "chat": ("/api/steer-chat", {"json": chat(defaultChatMessages=TURNS, steeredChatMessages=TURNS)}),
}


@pytest.mark.parametrize("case", LONG_TEXTS)
async def test_a_text_of_too_many_characters_is_not_sent_to_inference(
    client: httpx.AsyncClient, inference: FakeInferenceServer, case: str
) -> None:
    inference.max_text_characters = 50
    path, request = LONG_TEXTS[case]
    response = await client.post(path, **request)
    assert response.status_code == 400, response.text
    assert "Text too long: " in response.text and "characters, max is 50. Shorten it" in response.text
    assert inference.seen == []
    # an inference server of an earlier version states no limit
    inference.max_text_characters = None
    assert (await client.post(path, **request)).status_code == 200
    assert inference.seen


# ---- connections to inference


async def test_streams_leave_short_calls_and_checks_their_connections(
    started: Start, loaded_url: str, inference: FakeInferenceServer
) -> None:
    inference.delay = 0.1
    async with started(loaded_url, streams=2, inference_queue_seconds=0.2) as client, asyncio.TaskGroup() as group:
        # two different conversations: two connections to inference each
        body = chat(n_tokens=40, steeredChatMessages=[{"role": "user", "content": "Other"}])
        streams = [group.create_task(client.post("/api/steer-chat", json=body)) for _ in range(2)]
        while len(inference.seen) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        refused = await client.post("/api/steer", json=completion())
        assert refused.status_code == 503 and "MEMICOS_STREAMS" in refused.text, refused.text
        assert int(refused.headers["retry-after"]) > 0
        text = await client.post("/api/activation/new", json={"feature": FEATURE, "customText": "the whale"})
        assert text.status_code == 200, text.text
        assert (await client.get("/small/inference")).status_code == 200
        assert not any(task.done() for task in streams)
    assert [task.result().status_code for task in streams] == [200, 200]


async def test_a_call_that_finds_no_free_connection_is_told_so_and_the_host_stays_usable(
    started: Start, loaded_url: str, inference: FakeInferenceServer
) -> None:
    inference.delay = 1
    body = {"feature": FEATURE, "customText": "the whale"}
    async with started(loaded_url, inference_call_connections=1, inference_queue_seconds=0.1) as client:
        first = asyncio.create_task(client.post("/api/activation/new", json=body))
        while not inference.seen:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        second = await client.post("/api/activation/new", json=body)
        assert second.status_code == 503 and "MEMICOS_INFERENCE_CALL_CONNECTIONS" in second.text, second.text
        assert int(second.headers["retry-after"]) > 0
        # checks have a connection of their own
        page = await client.get("/small/inference")
        assert page.status_code == 200 and "in use" not in page.text
        assert (await first).status_code == 200


# ---- steering requests in progress


def make_app(loaded_url: str, inference_url: str, **settings: object) -> Any:
    values: dict[str, Any] = {"embed_every_seconds": 0, "inference_poll_seconds": 0, **settings}
    return create_app(Settings(_env_file=None, database_url=loaded_url, inference_url=inference_url, **values))  # pyright: ignore[reportCallIssue]


@asynccontextmanager
async def visitors(app: Any, count: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of different addresses."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app, client=(f"192.0.2.{number + 1}", 1000)),
                    base_url="http://localhost",
                )
            )
            for number in range(count)
        ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_visitor_has_a_number_of_steering_requests_in_progress(
    loaded_url: str, served_inference: Any, inference: FakeInferenceServer, stream: bool
) -> None:
    inference.delay = 0.1
    app = make_app(loaded_url, served_inference.url, streams_per_visitor=2, streams=3)
    body = completion(n_tokens=15, stream=stream)
    async with visitors(app, 3) as (one, other, third), asyncio.TaskGroup() as group:
        posts = [group.create_task(one.post("/api/steer", json=body)) for _ in range(2)]
        while len(inference.seen) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        refused = await one.post("/api/steer", json=body)
        assert refused.status_code == 429 and "MEMICOS_STREAMS_PER_VISITOR" in refused.text
        assert int(refused.headers["retry-after"]) > 0
        posts.append(group.create_task(other.post("/api/steer", json=body)))
        while len(inference.seen) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await third.post("/api/steer", json=body)).status_code == 503
        for task in posts:
            assert (await task).status_code == 200
        inference.delay = 0
        assert (await one.post("/api/steer", json=body)).status_code == 200
        # a request that fails before its first event frees its slot, too
        for _ in range(3):
            assert (await one.post("/api/steer", json=completion(prompt="word " * 99))).status_code == 400
        assert app.state.stream_slots.in_progress == {}


async def test_visitors_that_leave_free_their_slots(
    loaded_url: str, served_inference: Any, inference: FakeInferenceServer
) -> None:
    inference.delay = 0.05
    app = make_app(loaded_url, served_inference.url, streams_per_visitor=2)
    async with running(app) as url:
        for _ in range(3):
            stopped = [post_without_reading(f"{url}/api/steer", completion(n_tokens=200, stream=True)) for _ in "12"]
            await until(lambda: app.state.stream_slots.in_progress.total() == 2)
            for reader in stopped:
                reader.close()
            await until(lambda: not app.state.stream_slots.in_progress)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# ---- slow readers


async def test_a_stopped_reader_holds_no_connection_to_inference(
    url: str, app: Any, inference: FakeInferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is read to its end from inference while the reader is stopped; one that resumes misses nothing."""
    monkeypatch.setattr(event_stream, "SLOW_SECONDS", 0)  # the test does not wait until the reader counts as slow
    wide = "x" * 20_000
    monkeypatch.setattr(
        inference, "_logprobs", lambda kind, n: [{"token": wide, "logprob": -1, "top_logprobs": []}] * n
    )
    body = completion(n_tokens=60, stream=True, frame_logprobs=True)
    stopped = post_without_reading(f"{url}/api/steer", body)
    await until(lambda: inference.frames_sent == 60)
    host = app.state.inference_hosts.all[0]
    await until(lambda: not host.busy)
    assert inference.streams_closed == 0
    stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
    with stopped.makefile("rb") as file:
        content = await asyncio.to_thread(file.read)
    stopped.close()
    received = events(body_of(content))
    assert received[-1][1]["STEERED"] == numbered_words("steered", 60)
    # whole responses are left out for newer ones while the reader is stopped
    assert len(received) < 60


async def test_events_before_a_fault_are_read_first() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 2
        yield 3
        raise ValueError("late")

    batches: list[list[int]] = []
    with pytest.raises(ValueError, match="late"):
        async for batch in read_ahead(1, failing()):  # pyright: ignore[reportArgumentType]
            batches.append(batch)
            await asyncio.sleep(0)
    assert [number for batch in batches for number in batch] == [1, 2, 3]
