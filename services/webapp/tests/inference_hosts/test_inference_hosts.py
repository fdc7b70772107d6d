"""How the webapp checks an inference server: servers that hang, sources that are added, requests that are refused."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start
from memicos_testing.webapp.html_page import Page

OWN_TEXT = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": "the whale rose"}
PAGES = ("/small/inference", "/small/1-res/inference", "/small/steer", "/small/1-res/5", "/search?set=small/res")


@pytest.fixture
async def hanging_url() -> AsyncIterator[str]:
    """A server that accepts connections and never answers."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def timed(client: httpx.AsyncClient, path: str) -> tuple[float, httpx.Response]:
    began = time.monotonic()
    response = await client.get(path)
    return time.monotonic() - began, response


async def test_a_server_that_never_responds_delays_no_page(started: Start, loaded_url: str, hanging_url: str) -> None:
    async with started(loaded_url, inference_url=hanging_url, inference_check_seconds=0.5) as client:
        # no state is known yet: pages wait for one check together, not one after another
        began = time.monotonic()
        responses = await asyncio.gather(*(client.get(path) for path in PAGES))
        assert time.monotonic() - began < 5
        assert [response.status_code for response in responses] == [200] * len(PAGES)
        message = "did not respond for 0.5 s (setting MEMICOS_INFERENCE_CHECK_SECONDS)"
        assert message in Page((await client.get("/small/inference")).text).text()
        response = await client.post("/api/activation/new", json=OWN_TEXT)
        assert response.status_code == 503 and message in response.json()["error"]


async def test_the_last_known_state_is_served_while_a_check_hangs(
    started: Start, loaded_url: str, inference: FakeInferenceServer
) -> None:
    limits = {"inference_check_seconds": 4, "inference_check_wait_seconds": 0.1}
    async with started(loaded_url, **limits) as client:
        assert Page((await client.get("/small/inference")).text).text() == "inference ready"
        inference.health_delay = 60
        checks = len(inference.checks)
        for _ in range(3):
            seconds, response = await timed(client, "/small/inference")
            assert Page(response.text).text() == "inference ready" and seconds < 2
        # one check at a time
        assert len(inference.checks) == checks + 1
        # requests are sent as well
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
        async with asyncio.timeout(20):
            while "did not respond for 4 s" not in (await client.get("/small/inference")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def test_a_source_added_to_a_running_server_is_found(
    started: Start, loaded_url: str, inference: FakeInferenceServer
) -> None:
    inference.sources = ("3-res",)
    limits = {"inference_status_seconds": 0, "inference_capabilities_seconds": 3600}
    async with started(loaded_url, **limits) as client:
        response = await client.post("/api/activation/new", json=OWN_TEXT)
        assert response.status_code == 503 and "small/1-res" in response.json()["error"]
        inference.sources = ("1-res", "3-res")
        assert Page((await client.get("/small/1-res/inference")).text).text() == "inference ready"
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200


async def test_sources_and_limits_are_requested_again_after_a_time(
    started: Start, loaded_url: str, inference: FakeInferenceServer
) -> None:
    limits = {"inference_status_seconds": 0, "inference_capabilities_seconds": 0.05}
    async with started(loaded_url, **limits) as client:
        async with asyncio.timeout(20):
            while inference.checks.count("capabilities") < 2:
                assert (await client.get("/small/inference")).status_code == 200
                await asyncio.sleep(0.01)


async def test_a_refused_text_says_nothing_about_the_server(
    started: Start, loaded_url: str, inference: FakeInferenceServer
) -> None:
    steer = {"modelId": "small", "prompt": "a " * 100, "features": [{**OWN_TEXT["feature"], "strength": 1}]}
    limits = {"inference_status_seconds": 3600, "inference_capabilities_seconds": 3600}
    async with started(loaded_url, **limits) as client:
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
        checks = list(inference.checks)
        for path, body in (("/api/activation/new", OWN_TEXT | {"customText": "a " * 100}), ("/api/steer", steer)):
            response = await client.post(path, json=body)
            assert response.status_code == 400 and "Text too long" in response.json()["error"]
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
        assert inference.checks == checks
        # a refusal that concerns the server
        inference.refusal = (404, {"error": "no such source", "cause": "not_found"}, {})
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 404
        inference.refusal = None
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200
        assert inference.checks == [*checks, "health", "capabilities"]
