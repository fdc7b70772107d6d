"""Pages and API for every state of the inference server: ready, loading, down, refusing, incompatible."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
from fastapi import FastAPI
from memicos_inference_client import models
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start, free_port
from memicos_testing.webapp.html_page import Page

TEXT = "the whale rose"
OWN_TEXT = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": TEXT}
STEER = {
    "modelId": "small",
    "prompt": "Once",
    "n_tokens": 6,
    "features": [{"modelId": "small", "layer": "1-res", "index": 5, "strength": 20}],
}
TURNS = [{"role": "user", "content": "Hello"}]
CHAT = {**STEER, "defaultChatMessages": TURNS, "steeredChatMessages": TURNS}
CALLS: dict[str, dict[str, Any]] = {
    "/api/activation/new": OWN_TEXT,
    "/api/search-all": {"modelId": "small", "sourceSet": "res", "text": TEXT},
    "/api/search-topk-by-token": {"modelId": "small", "source": "1-res", "text": TEXT},
    "/api/steer": STEER,
    "/api/steer-chat": CHAT,
}
"""One request that works for every route that needs inference."""


@pytest.fixture(params=CALLS)
def path(request: pytest.FixtureRequest) -> str:
    return request.param


def without_url(response: httpx.Response) -> str:
    """The message of an error, with URL in place of the inference server's address."""
    return re.sub(r"http://127\.0\.0\.1:\d+", "URL", response.json()["error"])


async def test_every_call_works(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    for address in (path, path + "/"):
        response = await client.post(address, json=CALLS[path])
        assert response.status_code == 200, response.text


async def test_state_down(started: Start, loaded_url: str, path: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with started(loaded_url, inference_url=url) as client:
        response = await client.post(path, json=CALLS[path])
        page = Page((await client.get("/small/1-res/inference")).text)
    assert response.status_code == 503 and response.headers["retry-after"] == "10"
    assert response.json()["error"].startswith(
        f"Inference is not running at {url}; start it with `make inference-localhost-dev"
    )
    assert page.text() == "inference is not running"
    # the page repeats the request
    assert page.elements[0][1]["hx-get"] == "/small/1-res/inference"


async def test_state_loading(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    inference.state, inference.fraction, inference.progress = "loading", 0.42, "reading weights"
    response = await client.post(path, json=CALLS[path])
    assert response.status_code == 503 and response.headers["retry-after"] == "3"
    assert without_url(response) == "Inference at URL is loading, 42 %: reading weights; try again in a moment."
    page = Page((await client.get("/small/inference")).text)
    assert page.text() == "inference is loading, 42 %: reading weights"
    assert page.elements[0][1]["hx-trigger"] == "load delay:2s"


async def test_state_ready(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    page = Page((await client.get("/small/1-res/inference")).text)
    assert page.text() == "inference ready" and "hx-get" not in page.elements[0][1]


async def test_state_ready_with_lengths_that_are_not_verified(
    client: httpx.AsyncClient, inference: FakeInferenceServer
) -> None:
    inference.unverified_beyond = 4096
    words = "inference ready; values beyond 4,096 tokens are not verified"
    assert Page((await client.get("/small/1-res/inference")).text).text() == words
    assert words in Page((await client.get("/small/inference/hosts")).text).text()


async def test_a_model_that_could_not_be_loaded(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    inference.state, inference.progress = "failed", "there is no folder 1-res"
    response = await client.post(path, json=CALLS[path])
    error = "Inference at URL could not load its model: there is no folder 1-res"
    assert (response.status_code, without_url(response)) == (503, error)


async def test_a_wrong_secret(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    inference.secret = "theirs"
    # the known state is outdated: the call itself is refused, then the server is checked
    for _ in range(2):
        response = await client.post(path, json=CALLS[path])
        assert response.status_code == 502 and "set INFERENCE_SECRET of the webapp" in response.json()["error"]
    assert Page((await client.get("/small/inference")).text).text() == "inference refuses the secret"


async def test_the_secret_is_sent(started: Start, loaded_url: str, inference: FakeInferenceServer) -> None:
    inference.secret = "theirs"
    async with started(loaded_url, inference_secret="theirs") as client:
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 200


async def test_visitors_are_distinguished_without_names(
    app: FastAPI, inference: FakeInferenceServer, path: str
) -> None:
    names: list[str | None] = []
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        inference.clients.clear()
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.post(path, json=CALLS[path])).status_code == 200
        names += set(inference.clients)
    first, second, first_again = names
    assert first and second and first == first_again != second
    assert "192.0.2" not in first and re.fullmatch("[0-9a-f]{16}", first)


async def test_a_server_of_another_kind(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    inference.garbage = True
    response = await client.post(path, json=CALLS[path])
    assert (
        response.status_code == 502 and "is not an inference server of this memicos version" in response.json()["error"]
    )


async def test_responses_of_another_schema(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    inference.refusal = (200, {"unexpected": True}, {})
    response = await client.post(path, json=CALLS[path])
    assert (
        response.status_code == 502 and "is not an inference server of this memicos version" in response.json()["error"]
    )


@pytest.mark.parametrize(
    ("status", "answered", "message"),
    [
        (400, 400, "no such prompt"),
        (404, 404, "no such prompt"),
        (422, 400, "no such prompt"),
        (429, 503, "Inference at URL is busy: no such prompt"),
        (503, 503, "Inference at URL is busy: no such prompt"),
        (500, 502, "The inference server failed: no such prompt"),
    ],
)
async def test_refused_requests_of_inference(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str, status: int, answered: int, message: str
) -> None:
    inference.refusal = (status, {"error": "no such prompt", "cause": "internal"}, {"Retry-After": "7"})
    response = await client.post(path, json=CALLS[path])
    assert (response.status_code, without_url(response)) == (answered, message)
    # the status of a stream is known before its headers
    if answered == 503 and "steer" not in path:
        assert response.headers["retry-after"] == "7"


async def test_unverified_results(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    inference.refusal = (503, {"error": "The self-test found", "cause": "unverified"}, {})
    response = await client.post(path, json=CALLS[path])
    error = "Inference at URL does not answer: The self-test found"
    assert (response.status_code, without_url(response)) == (503, error)


async def test_a_text_over_the_limit(client: httpx.AsyncClient, inference: FakeInferenceServer, path: str) -> None:
    inference.token_limit = 1
    response = await client.post(path, json=CALLS[path])
    assert response.status_code == 400 and "tokens, max is 1" in response.json()["error"]


async def test_a_model_that_no_server_has_loaded(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    inference.sources = ("3-res",)
    for message in ("small/1-res", "the model small"):
        response = await client.post(path, json=CALLS[path])
        assert response.status_code == 503
        assert response.json()["error"].startswith(f"No inference server has {message} loaded; ")
        assert "MODEL_SOURCESET" in response.json()["error"]
        inference.model = "other"
        # as after a restart
        inference.state = "loading"
        await client.get("/small/inference")
        inference.state = "ready"


async def test_a_source_removed_at_a_running_server(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    async def status() -> Page:
        return Page((await client.get("/small/2-res/inference")).text)

    assert (await status()).text() == "inference ready"
    inference.sources = ("1-res", "3-res")
    removed = await status()
    assert removed.text() == "no inference server has 2-res loaded"
    # the page polls, so that it shows when the source is there again
    assert removed.elements[0][1]["hx-get"] == "/small/2-res/inference"
    assert Page((await client.get("/small/1-res/inference")).text).text() == "inference ready"
    inference.reset()
    assert (await status()).text() == "inference ready"


async def test_a_server_that_never_responds(started: Start, loaded_url: str, inference: FakeInferenceServer) -> None:
    inference.delay = 5
    async with started(loaded_url, inference_read_seconds=0.3) as client:
        responses = await asyncio.gather(*(client.post(path, json=body) for path, body in CALLS.items()))
    for response in responses:
        assert response.status_code == 503
        assert "did not respond for 0.3 s (setting MEMICOS_INFERENCE_READ_SECONDS)" in response.json()["error"]


async def test_no_connection_to_the_database_is_held_meanwhile(
    started: Start, loaded_url: str, inference: FakeInferenceServer
) -> None:
    async with started(loaded_url, database_pool=1, database_wait_seconds=0.3) as client:
        for path, body in CALLS.items():
            inference.delay = 60
            running = asyncio.create_task(client.post(path, json=body))
            async with asyncio.timeout(10):
                while not inference.seen:  # noqa: ASYNC110 (the double has no event for it)
                    await asyncio.sleep(0.01)
            assert (await client.get("/small/1-res/5")).status_code == 200, path
            assert not running.done(), path
            inference.delay = 0
            assert (await running).status_code == 200, path
            inference.seen.clear()


async def test_a_state_is_cached_for_a_time(started: Start, loaded_url: str, inference: FakeInferenceServer) -> None:
    async with started(loaded_url, inference_status_seconds=60) as client:
        assert Page((await client.get("/small/inference")).text).text() == "inference ready"
        inference.state = "loading"
        assert Page((await client.get("/small/inference")).text).text() == "inference ready"
        # until a call fails
        inference.refusal = (503, {"error": "loading", "cause": "loading"}, {})
        assert (await client.post("/api/activation/new", json=OWN_TEXT)).status_code == 503
        assert "loading" in Page((await client.get("/small/inference")).text).text()


PARSERS: dict[str, Callable[[Any], Any]] = {
    "/health": models.HealthResponse.from_dict,
    "/v1/capabilities": models.CapabilitiesResponse.from_dict,
    "/v1/activation/single": models.SingleResponse.from_dict,
    "/v1/activation/all": models.AllResponse.from_dict,
    "/v1/activation/topk-by-token": models.TopkResponse.from_dict,
    "/v1/steer/completion": models.CompletionResponse.from_dict,
    "/v1/steer/completion-chat": models.ChatResponse.from_dict,
}


async def test_the_fake_server_follows_the_contract(client: httpx.AsyncClient, inference: FakeInferenceServer) -> None:
    """Its bodies are written by hand: they have every field of the generated models, and no other."""
    for path, body in CALLS.items():
        await client.post(path, json=body)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(inference.app()), base_url="http://double") as double:
        for path, parse in PARSERS.items():
            sent = inference.bodies(path)
            response = await double.post(path, json=sent[0]) if sent else await double.get(path)
            # the last event, where it is a stream
            body = json.loads(response.text.strip().split("\n\n")[-1].removeprefix("data: "))
            parsed = parse(body)
            assert parsed.to_dict() == body, path
            assert extra(parsed) == [], path


def extra(parsed: Any) -> list[str]:
    """Fields of a parsed body that the contract does not know."""
    if isinstance(parsed, list):
        return [name for item in parsed for name in extra(item)]
    if not attrs.has(type(parsed)):
        return []
    return [*parsed.additional_properties, *extra([getattr(parsed, item.name) for item in attrs.fields(type(parsed))])]
