"""Request ids, which are forwarded to inference, and the request log, which contains no content of visitors."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from memicos_service import logs
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start
from memicos_webapp.catalog import service as catalog
from memicos_webapp.features import service as features

WORD = "Zyzzyva"
OWN_TEXT = {"feature": {"modelId": "small", "layer": "1-res", "index": "5"}, "customText": f"{WORD} rose"}
STEER = {
    "modelId": "small",
    "prompt": WORD,
    "n_tokens": 6,
    "features": [{"modelId": "small", "layer": "1-res", "index": 5, "strength": 20}],
    "stream": True,
}
REQUESTS = "memicos_webapp.requests"


class Log:
    """Log output in both formats, as `python -m memicos_webapp` writes it."""

    def __init__(self) -> None:
        self._text, self._json = io.StringIO(), io.StringIO()
        self.handlers = [logs.make_handler("text", self._text), logs.make_handler("json", self._json)]

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._json.getvalue().splitlines()]

    def of_requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["logger"] == REQUESTS]


@pytest.fixture
def log() -> Iterator[Log]:
    captured_log, root = Log(), logging.getLogger()
    level = root.level
    for handler in captured_log.handlers:
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    # the tests' own client and server
    for name in ("httpx", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    yield captured_log
    for handler in captured_log.handlers:
        root.removeHandler(handler)
    root.setLevel(level)
    for name in ("httpx", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


async def test_a_request_has_its_id_or_gets_one(client: httpx.AsyncClient) -> None:
    async def id_of(sent_id: bytes, path: str = "/") -> str:
        response = await client.get(path, headers=[(b"x-request-id", sent_id)])
        (response_id,) = response.headers.get_list("x-request-id")
        return response_id

    for sane in ("abc-1", "~" * 128):
        assert await id_of(sane.encode()) == sane
    for bad in (b"", b"a b", b"x" * 129, "ä".encode(), b"<b>\n"):
        assert re.fullmatch("[0-9a-f]{32}", await id_of(bad))
    assert await id_of(b"mine", "/api/none") == await id_of(b"mine", "/static/none.css") == "mine"


@pytest.mark.parametrize("path", ["/api/activation/new", "/api/steer"])
async def test_the_request_id_is_sent_to_inference(
    client: httpx.AsyncClient, inference: FakeInferenceServer, path: str
) -> None:
    body = OWN_TEXT if "activation" in path else STEER
    response = await client.post(path, json=body, headers={"X-Request-ID": "mine"})
    assert response.status_code == 200 and set(inference.requests) == {"mine"}
    inference.requests.clear()
    response = await client.post(path, json=body)
    assert set(inference.requests) == {response.headers["x-request-id"]}


async def test_each_request_is_logged_without_its_content(url: str, inference: FakeInferenceServer, log: Log) -> None:
    requests: list[tuple[str, str, Any, int]] = [
        ("/", "/", None, 200),
        ("/{model}/{source}/{index}", f"/small/1-res/5?defaulttesttext={WORD}", None, 200),
        ("/search-explanations", f"/search-explanations?q={WORD}", None, 200),
        ("/api/activation/new", "/api/activation/new", OWN_TEXT, 200),
        ("/api/steer", "/api/steer", STEER, 200),
        ("/api/activation/new", "/api/activation/new", {**OWN_TEXT, "feature": WORD}, 422),
        ("other", f"/a/b/c/d/{WORD}", None, 404),
        ("other", "/static/none.css", None, 404),
    ]
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        for number, (_, path, body, status) in enumerate(requests):
            headers = {"X-Request-ID": f"r{number}"}
            response = await (http.post(path, json=body, headers=headers) if body else http.get(path, headers=headers))
            assert response.status_code == status, response.text
        assert (await http.get("/", headers={"Host": WORD})).status_code == 403
        inference.delay = 0.05
        async with http.stream("POST", "/api/steer", json=STEER, headers={"X-Request-ID": "left"}) as stream:
            async for _ in stream.aiter_lines():
                break
    for _ in range(200):
        if log.of_requests()[-1]["request_id"] == "left":
            break
        await asyncio.sleep(0.02)
    *lines, refused, cancelled = log.of_requests()
    logged = [(line["route"], line["status"], line["request_id"]) for line in lines]
    # static files have no lines
    assert logged == [(route, status, f"r{number}") for number, (route, _, _, status) in enumerate(requests[:-1])]
    assert (refused["route"], refused["status"]) == ("other", 403)
    assert (cancelled["route"], cancelled["status"]) == ("/api/steer", 499)
    assert all(line["seconds"] >= 0 and line["level"] == "info" and line["client"] for line in [*lines, cancelled])
    assert WORD.lower() not in log.text.lower()
    assert re.search(
        r"^INFO memicos_webapp\.requests: request method=GET route=/ status=200 .*request_id=r0$", log.text, re.M
    )


async def test_an_internal_error_is_logged_with_its_request_id(
    url: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the reason")

    monkeypatch.setattr(catalog, "home", fail)
    monkeypatch.setattr(features, "find", fail)
    async with httpx.AsyncClient(base_url=url) as http:
        page = await http.get("/", headers={"X-Request-ID": "of-page"})
        body = await http.get("/api/feature/small/1-res/5", headers={"X-Request-ID": "of-json"})
    assert page.status_code == body.status_code == 500
    assert "It has been logged as of-page." in page.text and page.headers["x-request-id"] == "of-page"
    assert body.json()["error"] == "Internal error. It has been logged as of-json."
    for request_id in ("of-page", "of-json"):
        line, traceback = [line for line in log.lines if line.get("request_id") == request_id]
        assert line["logger"] == REQUESTS and line["status"] == 500 and line["level"] == "warning"
        assert traceback["logger"] == "uvicorn.error" and "RuntimeError: the reason" in traceback["exception"]


async def test_parameters_of_statements_are_not_logged(app: FastAPI) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError) as caught:
        async with app.state.database.snapshot() as session:
            await session.execute(text("SELECT none FROM nowhere WHERE a = :given"), {"given": WORD})
    assert WORD not in str(caught.value)


async def test_request_lines_can_be_switched_off(started: Start, loaded_url: str, log: Log) -> None:
    async with started(loaded_url, log_requests=False) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/none")).status_code == 404
    assert log.of_requests() == []
