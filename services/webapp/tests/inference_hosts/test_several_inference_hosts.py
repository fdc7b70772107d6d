"""Several inference servers: which one serves a request, and what happens when one of them fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, free_port, running
from memicos_testing.webapp.html_page import Page

TEXT = "the whale rose"
OWN_TEXT = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": TEXT}
SEARCH = {"modelId": "small", "sourceSet": "res", "text": TEXT}
STEER = {
    "modelId": "small",
    "prompt": "Once",
    "n_tokens": 4,
    "features": [{"modelId": "small", "layer": "1-res", "index": 5, "strength": 20}],
}
ACTIVATION, COMPLETION = "/v1/activation/single", "/v1/steer/completion"


@dataclass
class Pair:
    """An application with two inference servers, `a` before `b`."""

    client: httpx.AsyncClient
    a: FakeInferenceServer
    b: FakeInferenceServer
    a_url: str
    b_url: str

    @property
    def calls(self) -> tuple[int, int]:
        return len(self.a.seen), len(self.b.seen)

    def forget(self) -> None:
        self.a.seen.clear()
        self.b.seen.clear()

    async def own_text(self) -> httpx.Response:
        return await self.client.post("/api/activation/new", json=OWN_TEXT)


@asynccontextmanager
async def started_pair(started: Start, url: str, **settings: object) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        a, b = FakeInferenceServer(), FakeInferenceServer()
        urls = [await stack.enter_async_context(running(server.app())) for server in (a, b)]
        hosts = f"a={urls[0]}, b={urls[1]}"
        client = await stack.enter_async_context(started(url, inference_hosts=hosts, **settings))
        yield Pair(client, a, b, *urls)


@pytest.fixture
async def pair(started: Start, loaded_url: str) -> AsyncIterator[Pair]:
    async with started_pair(started, loaded_url) as pair:
        yield pair


async def broken(fault: str, server: FakeInferenceServer) -> None:
    """Make every call of `server` fail although it reports that it is ready."""
    match fault:
        case "busy":
            server.refusal = (503, {"error": "queue full", "cause": "busy"}, {})
        case "too many":
            server.refusal = (429, {"error": "queue full", "cause": "busy"}, {})
        case "source removed":
            server.sources = ("9-res",)
            server.refusal = (400, {"error": "Unknown source '1-res'", "cause": "invalid_request"}, {})
        case "another kind":
            server.refusal = (200, {"unexpected": True}, {})
        case "silent":
            server.delay = 60
        case _:
            raise ValueError(fault)


async def test_idle_hosts_take_turns(pair: Pair) -> None:
    for _ in range(6):
        assert (await pair.own_text()).status_code == 200
    assert pair.calls == (3, 3)


async def test_the_load_that_servers_report_counts(pair: Pair) -> None:
    pair.a.load = 3
    for _ in range(3):
        assert (await pair.own_text()).status_code == 200
    assert pair.calls == (0, 3)


async def test_pages_and_health_name_the_hosts(started: Start, loaded_url: str) -> None:
    down = f"http://127.0.0.1:{free_port()}"
    small, other = FakeInferenceServer(), FakeInferenceServer(model="gpt2")
    async with running(small.app()) as small_url, running(other.app()) as other_url:
        hosts = f"one={small_url},two={other_url},three={down}"
        async with started(loaded_url, inference_hosts=hosts) as client:
            assert 'hx-get="/small/inference/hosts"' in (await client.get("/small")).text
            states = {host["name"]: host["state"] for host in (await client.get("/health")).json()["inference"]}
            assert states == {"one": "unknown", "two": "unknown", "three": "unknown"}
            page_text = Page((await client.get("/small/inference/hosts")).text).text()
            assert page_text == "Server State Sources one inference ready 3 three inference is not running –"
            health = (await client.get("/health")).json()
            assert [(host["state"], host["model"]) for host in health["inference"]] == [
                ("ready", "small"),
                ("ready", "gpt2"),
                ("down", None),
            ]
            assert health["status"] == "healthy" and down not in str(health)
        async with started(loaded_url, inference_hosts=f"two={other_url}") as client:
            page_text = Page((await client.get("/small/inference/hosts")).text).text()
            assert "No inference server has this model loaded" in page_text


async def test_the_least_busy_host_gets_the_request(pair: Pair) -> None:
    pair.a.delay = pair.b.delay = 1.0
    responses = await asyncio.gather(*(pair.own_text() for _ in range(4)))
    assert [response.status_code for response in responses] == [200] * 4
    assert pair.calls == (2, 2)
    # a stream counts until its end
    pair.forget()
    steering = [asyncio.create_task(pair.client.post("/api/steer", json=STEER)) for _ in range(2)]
    while pair.calls != (1, 1):  # noqa: ASYNC110 (the double has no event for it)
        await asyncio.sleep(0.01)
    pair.a.delay = 0
    while steering[0].done() is steering[1].done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    for _ in range(2):
        assert (await pair.own_text()).status_code == 200
    assert len(pair.a.bodies(ACTIVATION)) == 2
    pair.b.delay = 0
    assert [response.status_code for response in await asyncio.gather(*steering)] == [200, 200]


@pytest.mark.parametrize("fault", ["busy", "too many", "source removed", "another kind", "silent"])
async def test_a_host_that_fails_is_passed_over(started: Start, loaded_url: str, fault: str) -> None:
    # a removed source is noticed by the first call for it alone
    seconds = 60 if fault == "source removed" else 0.1
    unpolled = {
        "inference_poll_seconds": 60,
        "inference_status_seconds": seconds,
        "inference_capabilities_seconds": seconds,
    }
    async with started_pair(started, loaded_url, inference_read_seconds=0.5, **unpolled) as pair:
        assert (await pair.own_text()).status_code == 200
        await broken(fault, pair.a)
        pair.forget()
        for path, body in (
            ("/api/activation/new", OWN_TEXT),
            ("/api/search-all", SEARCH),
            ("/api/search-all", {**SEARCH, "rank": "share"}),
            ("/api/search-topk-by-token", {"modelId": "small", "source": "1-res", "text": TEXT}),
            ("/api/steer", STEER),
        ):
            response = await pair.client.post(path, json=body)
            assert response.status_code == 200, (path, response.text)
        assert pair.a.seen and pair.b.seen


@pytest.mark.parametrize("fault", ["busy", "silent"])
async def test_where_all_hosts_fail_the_answer_names_them(started: Start, loaded_url: str, fault: str) -> None:
    async with started_pair(started, loaded_url, inference_read_seconds=0.3) as pair:
        await broken(fault, pair.a)
        await broken(fault, pair.b)
        response = await pair.own_text()
        assert response.status_code == 503
        reason = "is busy: queue full" if fault == "busy" else "did not respond for 0.3 s"
        error = response.json()["error"]
        assert error.startswith("No inference server can serve small/1-res now. a: ") and error.count(reason) == 2
        assert pair.calls == (1, 1)


async def test_a_request_that_cannot_succeed_is_sent_once(pair: Pair) -> None:
    response = await pair.client.post("/api/activation/new", json=OWN_TEXT | {"customText": "a " * 100})
    assert response.status_code == 400 and sum(pair.calls) == 1
    pair.forget()
    for server in (pair.a, pair.b):
        server.refusal = (500, {"error": "a fault", "cause": "internal"}, {})
    response = await pair.own_text()
    assert response.status_code == 502 and sum(pair.calls) == 1


async def test_a_host_that_is_down_or_loading_gets_no_request(started: Start, loaded_url: str) -> None:
    double = FakeInferenceServer()
    async with running(double.app()) as up:
        down = f"http://127.0.0.1:{free_port()}"
        async with started(loaded_url, inference_hosts=f"first={down},second={up}") as client:
            for _ in range(2):
                assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
            assert Page((await client.get("/small/1-res/inference")).text).text() == "inference ready"
            double.state, double.progress, double.fraction = "loading", "reading weights", 0.5
            response = await client.post("/api/activation/new", json=OWN_TEXT)
            assert response.status_code == 503 and response.headers["retry-after"] == "3"
            error = response.json()["error"]
            assert f"first: Inference is not running at {down}" in error
            assert f"second: Inference at {up} is loading, 50 %: reading weights" in error
            page = Page((await client.get("/small/inference")).text)
            assert page.text() == "first: inference is not running; second: inference is loading, 50 %: reading weights"
            # the page repeats the request
            assert page.elements[0][1]["hx-trigger"] == "load delay:2s"


async def test_a_model_that_no_host_has_is_reported_with_the_hosts(pair: Pair) -> None:
    pair.a.model, pair.b.sources = "gpt2", ("2-res",)
    response = await pair.own_text()
    assert response.status_code == 503
    assert response.json()["error"].startswith(
        f"No inference server has small/1-res loaded; {pair.a_url} has gpt2; {pair.b_url} has small with res. Start "
    )
    assert pair.calls == (0, 0)


async def test_each_model_has_its_host(pair: Pair) -> None:
    pair.a.model = "gpt2"
    for _ in range(3):
        assert (await pair.own_text()).status_code == 200
    assert pair.calls == (0, 3)
    pair.a.model, pair.b.model = "small", "gpt2"
    for _ in range(3):
        assert (await pair.own_text()).status_code == 200
    assert pair.calls == (3, 3)


async def test_a_hung_host_does_not_hold_up_the_others(started: Start, loaded_url: str) -> None:
    limits = {"inference_check_seconds": 30, "inference_check_wait_seconds": 30}
    async with started_pair(started, loaded_url, **limits) as pair:
        pair.a.health_delay = 60
        async with asyncio.timeout(5):
            assert (await pair.own_text()).status_code == 200
            assert Page((await pair.client.get("/small/inference")).text).text() == "inference ready"
        assert pair.calls == (0, 1)


@pytest.mark.parametrize("rank", ["raw", "share"])
@pytest.mark.parametrize("positions", [[], [1, 2]])
async def test_a_search_over_sources_of_several_hosts_is_merged(pair: Pair, rank: str, positions: list[int]) -> None:
    body: dict[str, Any] = {**SEARCH, "rank": rank, "sortIndexes": positions, "numResults": 60}
    response = await pair.client.post("/api/search-all", json=body)
    assert response.status_code == 200 and len(response.json()["result"]) > 5
    pair.forget()
    pair.a.sources, pair.b.sources = ("1-res", "3-res"), ("2-res",)
    async with asyncio.timeout(20):
        # until a check has found the change of sources
        while not all(pair.calls):
            pair.forget()
            merged = await pair.client.post("/api/search-all", json=body)
            assert merged.json() == response.json()


async def test_a_share_of_a_search_moves_to_the_hosts_that_are_left(started: Start, loaded_url: str) -> None:
    async with AsyncExitStack() as stack:
        servers = {
            "all": FakeInferenceServer(),
            "one": FakeInferenceServer(sources=("1-res",)),
            "two": FakeInferenceServer(sources=("2-res", "3-res")),
        }
        urls = {n: await stack.enter_async_context(running(server.app())) for n, server in servers.items()}
        hosts = ",".join(f"{name}={url}" for name, url in urls.items())
        client = await stack.enter_async_context(started(loaded_url, inference_hosts=hosts))
        response = await client.post("/api/search-all", json=SEARCH)
        assert len(servers["all"].seen) == 1 and not servers["one"].seen
        servers["all"].refusal = (503, {"error": "stopping", "cause": "stopping"}, {})
        second_response = await client.post("/api/search-all", json=SEARCH)
        assert second_response.status_code == 200 and second_response.json() == response.json()
        assert [len(server.seen) for server in servers.values()] == [2, 1, 1]


async def test_steering_needs_one_host_with_all_sources(pair: Pair) -> None:
    pair.a.sources, pair.b.sources = ("1-res",), ("2-res",)
    features = [{"modelId": "small", "layer": f"{n}-res", "index": 5, "strength": 20} for n in (1, 2)]
    response = await pair.client.post("/api/steer", json={**STEER, "features": features})
    assert response.status_code == 503 and "loaded; " in response.json()["error"] and pair.calls == (0, 0)


async def test_a_stream_that_has_begun_is_not_repeated(pair: Pair) -> None:
    pair.a.break_after = pair.b.break_after = 2
    response = await pair.client.post("/api/steer", json={**STEER, "stream": True})
    assert response.status_code == 200 and "was interrupted" in response.text and "event: error" in response.text
    assert sum(pair.calls) == 1


async def test_a_stream_that_fails_before_its_first_event_is_taken_over(pair: Pair) -> None:
    pair.a.break_after = 0
    for _ in range(2):
        response = await pair.client.post("/api/steer", json={**STEER, "stream": True})
        assert response.status_code == 200 and "error" not in response.text
    assert pair.a.bodies(COMPLETION) and len(pair.b.bodies(COMPLETION)) == 2


async def test_hosts_are_checked_in_the_background(started: Start, loaded_url: str) -> None:
    async with started_pair(
        started, loaded_url, inference_poll_seconds=0.1, inference_status_seconds=3600, inference_capabilities_seconds=0
    ) as pair:
        assert (await pair.own_text()).status_code == 200
        # sources that a running server loses or gains are noticed without a failed request
        pair.a.sources = pair.b.sources = ("2-res",)
        async with asyncio.timeout(5):
            while (await pair.own_text()).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        pair.forget()
        assert (await pair.own_text()).status_code == 503 and pair.calls == (0, 0)
        pair.b.sources = ("1-res",)
        async with asyncio.timeout(5):
            while (await pair.own_text()).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_host_that_failed_comes_after_the_others_until_it_is_checked(started: Start, loaded_url: str) -> None:
    async with started_pair(started, loaded_url, inference_check_wait_seconds=0, inference_check_seconds=30) as pair:
        assert [(await pair.own_text()).status_code for _ in range(2)] == [200, 200]
        # it hangs: checks do not end, and its last known state is ready
        pair.a.refusal, pair.a.health_delay = (503, {"error": "stopping", "cause": "stopping"}, {}), 60
        pair.forget()
        for _ in range(4):
            assert (await pair.own_text()).status_code == 200
        assert pair.calls[0] <= 2 and pair.calls[1] == 4
