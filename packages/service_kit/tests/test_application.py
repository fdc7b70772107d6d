"""An application built from the kit: error bodies, guards, request log, API page."""

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from memicos_service import errors, logs
from memicos_service.application import JSON_POLICY, ServiceApp
from memicos_service.errors import ErrorReport, ServiceError
from memicos_service.logs import request_log
from memicos_service.logs.request_log import FinishedRequest, RequestObserver
from memicos_service.openapi import docs_page
from memicos_service.security.guards import ServiceGuard
from memicos_service.security.host_names import BindAddress, allowed_names, is_allowed
from memicos_testing.servers import running
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, field_validator

SECRET = {"X-SECRET-KEY": "cat"}


class Body(BaseModel):
    name: str
    number: int = Field(ge=1)

    @field_validator("name")
    @classmethod
    def _lower_case(cls, name: str) -> str:
        if not name.islower():
            raise ValueError("must be in lower case")
        return name


class Observer(RequestObserver):
    def __init__(self, log_all: bool = True) -> None:
        super().__init__(log_all)
        self.first_events: list[float] = []
        self.requests: list[FinishedRequest] = []

    def first_event(self, scope: Any, seconds: float) -> None:
        self.first_events.append(seconds)

    def finished(self, request: FinishedRequest) -> None:
        self.requests.append(request)


def respond(report: ErrorReport) -> JSONResponse:
    return JSONResponse({"error": report.message, "cause": report.cause}, report.status, report.headers)


def build(observer: RequestObserver) -> FastAPI:
    app = ServiceApp(title="kit", docs_url=None, redoc_url=None)
    app.add_middleware(
        ServiceGuard,
        hosts=allowed_names("", "127.0.0.1"),
        hosts_setting="KIT_ALLOWED_HOSTS",
        secret=SecretStr("cat"),
        open_paths={"/open"},
        body_bytes=100,
        body_setting="KIT_BODY_BYTES",
        make_response=respond,
    )
    request_log.install(app, logging.getLogger("kit.requests"), observer)
    errors.install(app, lambda _, report: respond(report))
    docs_page.install(app)

    @app.get("/open")
    async def _open() -> dict[str, str]:
        return {"id": request_log.request_id()}

    @app.post("/body/{kind}")
    async def _body(kind: str, body: Body) -> Body:
        if kind == "refused":
            raise ServiceError(503, "later", "busy", {"Retry-After": "7"})
        if kind == "broken":
            raise RuntimeError("the reason")
        return body

    @app.get("/events")
    async def _events() -> StreamingResponse:
        return StreamingResponse((f"data: {n}\n\n" for n in range(3)), media_type="text/event-stream")

    return app


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
async def client(observer: Observer) -> AsyncIterator[httpx.AsyncClient]:
    async with running(build(observer)) as url, httpx.AsyncClient(base_url=url, headers=SECRET) as client:
        yield client


@pytest.fixture
def log_output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logs.make_handler("json", stream)
    root = logging.getLogger()
    # the test's own client and server log what is sent
    libraries = [logging.getLogger(name) for name in ("httpx", "uvicorn.access")]
    levels = {logger: logger.level for logger in (root, *libraries)}
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for logger in libraries:
        logger.setLevel(logging.WARNING)
    yield stream
    root.removeHandler(handler)
    for logger, level in levels.items():
        logger.setLevel(level)


def lines(log_output: io.StringIO, logger: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, log_output.getvalue().splitlines()) if line["logger"] == logger]


@pytest.mark.parametrize(
    ("content", "status", "cause", "message"),
    [
        (b'{"name": "a", "number": 0}', 422, "invalid_request", "number: Input should be greater than or equal to 1"),
        (b'{"name": "A", "number": 1}', 422, "invalid_request", "name: must be in lower case"),
        (
            b'{"number": "x"}',
            422,
            "invalid_request",
            "name: Field required; number: Input should be a valid integer, unable to parse string as an integer",
        ),
        (
            b'{"name": "a',
            400,
            "invalid_request",
            "The body is not valid JSON: Unterminated string starting at character 9.",
        ),
        (b'{"name": "\xff"}', 400, "invalid_request", "The body is not UTF-8: byte 0xff at 10."),
        (b" " * 101, 413, "too_large", "The body has 101 bytes; at most 100 are taken (KIT_BODY_BYTES)."),
    ],
)
async def test_bad_bodies(client: httpx.AsyncClient, content: bytes, status: int, cause: str, message: str) -> None:
    response = await client.post("/body/x", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert response.json() == {"error": message, "cause": cause}


@pytest.mark.parametrize(
    ("setting", "address", "host", "allowed"),
    [
        ("", "127.0.0.1", "127.0.0.1:5002", True),
        ("", "127.0.0.1", "LOCALHOST", True),
        ("", "127.0.0.1", "[::1]:5002", True),
        ("", "127.0.0.1", "evil.example", False),
        ("", "127.0.0.1", "localhost.evil.example", False),
        ("", "127.0.0.1", "", False),
        ("", "0.0.0.0", "evil.example", True),
        ("sae.example, other.example", "127.0.0.1", "SAE.example:80", True),
        ("sae.example", "0.0.0.0", "10.0.0.1", False),
        ("sae.example", "0.0.0.0", "127.0.0.1:3000", True),
        ("sae.example", "127.0.0.1", "localhost", True),
        ("sae.example", "127.0.0.1", "localhost.evil.example", False),
        ("", "127.0.0.1", "localhost:", True),
        # the end would be the path of Starlette's `request.url`
        ("", "127.0.0.1", "localhost:5002/health?", False),
        ("", "0.0.0.0", "sae.example/health#", False),
        ("", "127.0.0.1", "localhost:80@evil.example", False),
        ("", "127.0.0.1", "localhost:\u0663", False),
        ("", "0.0.0.0", "", True),
    ],
)
def test_allowed_host_names(setting: str, address: str, host: str, allowed: bool) -> None:
    assert is_allowed(host, allowed_names(setting, address)) is allowed


def test_an_empty_bind_address_is_loopback() -> None:
    adapter = TypeAdapter(BindAddress)
    assert [adapter.validate_python(value) for value in ("", " ", "10.0.0.1")] == ["127.0.0.1", "127.0.0.1", "10.0.0.1"]


@pytest.mark.parametrize("path", ["/open", "/none", "/docs", "/body/x"])
async def test_another_host_name_is_refused(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 403 and response.json()["cause"] == "forbidden"
    assert "add it to KIT_ALLOWED_HOSTS" in response.json()["error"]


async def test_every_response_has_security_headers(client: httpx.AsyncClient) -> None:
    broken = await client.post("/body/broken", json={"name": "a", "number": 1})
    unnamed = await client.get("/open", headers={"Host": "evil.example"})
    responses = [broken, unnamed, await client.get("/open"), await client.get("/none"), await client.delete("/open")]
    assert [response.status_code for response in responses] == [500, 403, 200, 404, 405]
    for response in responses:
        assert response.headers["content-security-policy"] == JSON_POLICY
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
    assert responses[-1].headers["allow"] == "GET"
    assert "script-src 'self'" in (await client.get("/docs")).headers["content-security-policy"]


async def test_a_chunked_body_over_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 50

    response = await client.post("/body/x", content=chunks(), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]) == (413, "The body has more than 100 bytes.")


async def test_errors_of_the_service_and_of_routing(client: httpx.AsyncClient) -> None:
    refused = await client.post("/body/refused", json={"name": "a", "number": 1})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
    assert refused.json() == {"error": "later", "cause": "busy"}
    assert (await client.get("/none")).json() == {"error": "The path /none does not exist.", "cause": "not_found"}
    wrong_method = await client.get("/body/x")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    assert wrong_method.json()["error"] == "/body/x does not support the method GET."


@pytest.mark.parametrize("long", ["x" * 500_000, "x y " * 125_000])
async def test_what_a_client_sent_is_not_repeated_at_any_length(client: httpx.AsyncClient, long: str) -> None:
    message = f"There is no source '{long}': choose another."
    assert ServiceError(404, message).message == ErrorReport(404, message, "").message
    error = ServiceError(404, message).message
    assert len(error) <= errors.MAX_MESSAGE
    assert error.startswith("There is no source 'x") and error.endswith(" choose another.")
    assert len((await client.get(f"/{long[:5_000]}")).text) < errors.MAX_MESSAGE + 100


@pytest.mark.parametrize("secret", ["", "ca", "dog", "cät"])
async def test_the_secret_is_needed_except_for_open_paths(client: httpx.AsyncClient, secret: str) -> None:
    headers = {b"X-SECRET-KEY": secret.encode("latin-1")}
    response = await client.get("/events", headers=headers)
    assert response.status_code == 401
    assert response.json() == {"error": "Invalid or missing X-SECRET-KEY header", "cause": "wrong_secret"}
    assert (await client.get("/open", headers=headers)).status_code == 200


async def test_request_ids_are_kept_where_valid(client: httpx.AsyncClient) -> None:
    for request_id in ("abc", "~" * 128):
        response = await client.get("/open", headers={"X-Request-ID": request_id})
        assert response.headers["x-request-id"] == response.json()["id"] == request_id
    for request_id in ("", "a b", "x" * 129):
        response = await client.get("/open", headers={"X-Request-ID": request_id})
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


async def test_each_request_is_logged_by_its_route_alone(
    client: httpx.AsyncClient, observer: Observer, log_output: io.StringIO
) -> None:
    await client.post("/body/word", json={"name": "secretive", "number": 1}, headers={"X-Request-ID": "one"})
    await client.get("/events")
    await client.get("/word")
    broken = await client.post("/body/broken", json={"name": "a", "number": 1}, headers={"X-Request-ID": "two"})
    assert broken.json()["error"] == "Internal error. It has been logged as two."
    assert broken.headers["x-request-id"] == "two"
    records = lines(log_output, "kit.requests")
    assert [(line["route"], line["status"], line["level"]) for line in records] == [
        ("/body/{kind}", 200, "info"),
        ("/events", 200, "info"),
        ("other", 404, "info"),
        ("/body/{kind}", 500, "warning"),
    ]
    assert "secretive" not in log_output.getvalue() and "/word" not in log_output.getvalue()
    (traceback,) = [line for line in lines(log_output, "uvicorn.error") if "exception" in line]
    assert traceback["request_id"] == "two" and "RuntimeError: the reason" in traceback["exception"]
    assert [request.crashed for request in observer.requests] == [False, False, False, True]
    # the first event only, and of streams only
    assert len(observer.first_events) == 1


async def test_without_log_all_only_failures_are_logged(log_output: io.StringIO) -> None:
    async with running(build(Observer(log_all=False))) as url, httpx.AsyncClient(base_url=url, headers=SECRET) as http:
        await http.get("/events")
        await http.get("/none")
        await http.post("/body/refused", json={"name": "a", "number": 1})
        assert lines(log_output, "kit.requests") == []
        await http.post("/body/broken", json={"name": "a", "number": 1})
    assert [line["status"] for line in lines(log_output, "kit.requests")] == [500]


async def test_a_client_that_leaves_a_stream_is_logged_as_499(observer: Observer) -> None:
    app = build(observer)

    @app.get("/slow")
    async def _slow() -> StreamingResponse:
        async def endless() -> AsyncIterator[str]:
            while True:
                yield "data: x\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(endless(), media_type="text/event-stream")

    async with (
        running(app) as url,
        httpx.AsyncClient(base_url=url, headers=SECRET) as http,
        http.stream("GET", "/slow") as stream,
    ):
        async for _ in stream.aiter_lines():
            break
    # the server has ended here, and with it every request
    assert [request.status for request in observer.requests] == [499]


@pytest.mark.parametrize("path", ["/wait", "/body/x"])
async def test_a_client_that_leaves_before_the_response_is_logged_as_499(observer: Observer, path: str) -> None:
    """Also where the handler runs to its end, and where the client leaves within the body."""
    app, started = build(observer), asyncio.Event()

    @app.post("/wait")
    async def _wait() -> str:
        started.set()
        await asyncio.sleep(0.3)
        return "nobody gets this"

    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-SECRET-KEY: cat\r\nContent-Type: application/json\r\n"
    async with running(app) as url:
        _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        length = 0 if path == "/wait" else 10
        writer.write(f"{head}Content-Length: {length}\r\n\r\n".encode())
        await (started.wait() if path == "/wait" else asyncio.sleep(0.1))
        writer.close()
    # the server has ended here, and with it every request
    assert [request.status for request in observer.requests] == [499]


async def test_the_api_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) == 4 and "<script>" not in page.text
    for address in loaded:
        response = await client.get(httpx.URL(page.url).join(address))
        assert (response.status_code, response.content != b"") == (200, True), address
    assert 'url: "openapi.json"' in (await client.get("/docs/start.js")).text
    assert (await client.get("/docs/__init__.py")).status_code == 404
    assert not [path for path in (await client.get("/openapi.json")).json()["paths"] if path.startswith("/docs")]


async def test_the_connection_is_closed_after_an_unexpected_error_and_the_response_says_so() -> None:
    """A client that is not told sends its next request on a connection that the server has closed."""
    app = build(Observer())
    async with running(app) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = b'{"name": "a", "number": 1}'
        head = f"POST /body/broken HTTP/1.1\r\nHost: {host}\r\nX-SECRET-KEY: cat\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        response = await asyncio.wait_for(reader.read(), 10)  # until the server closes the connection
        writer.close()
        assert response.startswith(b"HTTP/1.1 500") and b"\r\nconnection: close\r\n" in response.lower()
        async with httpx.AsyncClient(base_url=url, headers=SECRET) as client:
            for _ in range(30):
                failed = await client.post("/body/broken", json={"name": "a", "number": 1})
                assert failed.status_code == 500
                assert (await client.get("/open")).status_code == 200
