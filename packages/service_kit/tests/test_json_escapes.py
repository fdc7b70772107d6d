"""JSON without line breaks in strings, read back by Python's own parser."""

import json

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Response
from memicos_service.application import ServiceApp
from memicos_service.json_escapes import escape_line_breaks
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import PlainTextResponse, StreamingResponse

EVERY_BREAK = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_no_string_breaks_a_line_and_the_value_stays() -> None:
    value = {f"a{EVERY_BREAK}é": [EVERY_BREAK, "今日\u00c2\u0085", "\\u2028"]}
    escaped = escape_line_breaks(to_json(value))
    assert len(to_json(value).decode().splitlines()) > 1
    assert len(escaped.decode().splitlines()) == 1 and json.loads(escaped) == value


class Echo(BaseModel):
    text: str


def application() -> FastAPI:
    app = ServiceApp()

    @app.post("/model")
    async def model(body: Echo) -> Echo:
        return body

    @app.post("/error")
    async def error(body: Echo) -> None:
        raise HTTPException(400, body.text)

    @app.post("/plain")
    async def plain(body: Echo) -> Response:
        return PlainTextResponse(body.text)

    @app.post("/parts")
    async def parts(body: Echo) -> Response:
        return StreamingResponse(iter([b'{"text":', b'"x"}']), media_type="application/json")

    return app


@pytest.fixture
def http() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://localhost")


@pytest.mark.parametrize(("path", "field"), [("/model", "text"), ("/error", "detail")])
async def test_every_json_body_is_escaped(http: httpx.AsyncClient, path: str, field: str) -> None:
    response = await http.post(path, json={"text": EVERY_BREAK})
    assert len(response.text.splitlines()) == 1 and response.json()[field] == EVERY_BREAK
    assert int(response.headers["content-length"]) == len(response.content)


async def test_other_bodies_stay(http: httpx.AsyncClient) -> None:
    assert (await http.post("/plain", json={"text": "a\u2028b"})).text == "a\u2028b"
    assert (await http.post("/parts", json={"text": ""})).json() == {"text": "x"}
    assert (await http.post("/nothing", json={})).json() == {"detail": "Not Found"}
