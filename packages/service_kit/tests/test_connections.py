"""Limits of connections: requests that stay incomplete, idle connections, and more connections than allowed."""

import asyncio
import logging
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from memicos_service.connections.settings import (
    ConnectionSettings,
    default_connections,
    limits_or_exit,
)
from memicos_service.logs import request_log
from memicos_service.logs.request_log import FinishedRequest, RequestObserver
from memicos_testing.servers import running

LIMITS = ConnectionSettings(max_connections=3, header_seconds=0.3, body_seconds=0.3, idle_seconds=0.3)
PATIENT = ConnectionSettings(max_connections=3, header_seconds=30, body_seconds=30, idle_seconds=30)
HALF_A_HEADER = b"GET /now HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Part: "
HALF_A_BODY = b"POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n12345"
REQUEST = b"GET /now HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
WAIT_SECONDS = 10


class Observer(RequestObserver):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[FinishedRequest] = []

    def finished(self, request: FinishedRequest) -> None:
        self.requests.append(request)


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def response(self) -> bytes:
        """The head of the next response and its body, for responses of known length."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
        (length,) = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        return head + await self.reader.readexactly(int(length))

    async def rest(self) -> bytes:
        """What the server sends until it closes the connection."""
        return await asyncio.wait_for(self.reader.read(), WAIT_SECONDS)

    @property
    def is_closed(self) -> bool:
        return self.reader.at_eof()


@dataclass
class Server:
    url: str
    observer: Observer
    release: asyncio.Event
    """Set, /wait responds."""
    connect: Callable[..., Awaitable[Connection]]


Serve = Callable[[ConnectionSettings], Awaitable[Server]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(limits: ConnectionSettings) -> Server:
            return await stack.enter_async_context(_server(limits))

        yield start


@asynccontextmanager
async def _server(limits: ConnectionSettings) -> AsyncIterator[Server]:
    app, observer, release = FastAPI(), Observer(), asyncio.Event()
    request_log.install(app, logging.getLogger("kit.requests"), observer)

    @app.get("/now")
    async def _now() -> str:
        return "now"

    @app.post("/body")
    async def _body(request: Request) -> int:
        return len(await request.body())

    @app.get("/wait")
    async def _wait() -> str:
        await release.wait()
        return "released"

    @app.api_route("/events", methods=["GET", "POST"])
    async def _events() -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            for number in range(10):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.1)

        return StreamingResponse(events(), media_type="text/event-stream")

    connections: list[Connection] = []
    async with running(app, limits=limits) as url:

        async def connect(data: bytes = b"", address: str = "127.0.0.1") -> Connection:
            port = httpx.URL(url).port
            connection = Connection(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))
            connections.append(connection)
            if data:
                await connection.send(data)
            return connection

        yield Server(url, observer, release, connect)
        release.set()
        for connection in connections:
            connection.writer.close()


@pytest.mark.parametrize("beginning", [HALF_A_HEADER, HALF_A_BODY])
async def test_an_incomplete_request_is_ended(serve: Serve, beginning: bytes) -> None:
    connection = await (await serve(LIMITS)).connect(beginning)
    response = await connection.rest()
    assert response.startswith(b"HTTP/1.1 408") and b"connection: close" in response
    assert_secure(response)


def assert_secure(response: bytes) -> None:
    headers = response.lower()
    for name in (
        b"content-security-policy: default-src 'none'",
        b"x-content-type-options: nosniff",
        b"referrer-policy",
    ):
        assert b"\r\n" + name in headers, response


@pytest.mark.parametrize(
    "request_bytes",
    [b"no HTTP\r\n\r\n", b"GET /now HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", REQUEST.replace(b"/now", b"/\xff now")],
)
async def test_a_request_that_is_no_http_is_status_400(serve: Serve, request_bytes: bytes) -> None:
    response = await (await (await serve(PATIENT)).connect(request_bytes)).rest()
    assert response.startswith(b"HTTP/1.1 400") and b"connection: close" in response
    assert_secure(response)


async def test_a_body_that_breaks_off_during_the_response_closes_the_connection(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    connection = await (await serve(PATIENT)).connect(head)
    await asyncio.wait_for(connection.reader.readuntil(b"data: 0"), WAIT_SECONDS)
    await connection.send(b"no length\r\n")
    assert b"HTTP/1.1 4" not in await connection.rest()
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_incomplete_body_is_logged_as_499(serve: Serve) -> None:
    server = await serve(LIMITS)
    await (await server.connect(HALF_A_BODY)).rest()
    async with asyncio.timeout(WAIT_SECONDS):
        while not server.observer.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [request.status for request in server.observer.requests] == [499]


async def test_bytes_now_and_then_do_not_extend_the_time(serve: Serve) -> None:
    connection = await (await serve(LIMITS)).connect(HALF_A_HEADER)

    async def send_slowly() -> None:
        while True:
            await connection.send(b"x")
            await asyncio.sleep(0.05)

    sender = asyncio.create_task(send_slowly())
    assert (await connection.rest()).startswith(b"HTTP/1.1 408")
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


async def test_a_connection_without_a_request_is_closed_without_a_response(serve: Serve) -> None:
    connection = await (await serve(LIMITS)).connect()
    assert await connection.rest() == b""


async def test_an_idle_connection_is_closed(serve: Serve) -> None:
    connection = await (await serve(LIMITS)).connect(REQUEST)
    assert (await connection.response()).startswith(b"HTTP/1.1 200")
    assert await connection.rest() == b""


async def test_the_begin_of_a_further_request_does_not_keep_a_connection_open(serve: Serve) -> None:
    connection = await (await serve(LIMITS)).connect(REQUEST)
    await connection.response()
    await connection.send(HALF_A_HEADER)
    assert (await connection.rest()).startswith(b"HTTP/1.1 408")


async def test_a_client_sends_many_requests_on_a_connection(serve: Serve) -> None:
    """Each request has its own time; together they take longer than any limit."""
    server = await serve(LIMITS)
    connection = await server.connect()
    for number in range(4):
        body = b"POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\n"
        for part in (REQUEST[:9], REQUEST[9:]) if number % 2 else (body, b"1234"):
            await connection.send(part)
            await asyncio.sleep(0.1)
        assert (await connection.response()).startswith(b"HTTP/1.1 200")
    await connection.send(3 * REQUEST)
    assert [(await connection.response())[:12] for _ in range(3)] == [b"HTTP/1.1 200"] * 3


async def test_a_stream_outlives_every_limit(serve: Serve) -> None:
    server = await serve(LIMITS)
    async with httpx.AsyncClient(base_url=server.url) as http:
        response = await http.get("/events")
    assert response.text.count("data:") == 10


async def test_a_new_connection_replaces_the_longest_incomplete_request(serve: Serve) -> None:
    server = await serve(PATIENT)
    held = [await server.connect(HALF_A_HEADER), await server.connect(HALF_A_BODY), await server.connect()]
    for expected in held:
        assert not expected.is_closed
        newest = await server.connect(REQUEST)
        assert (await newest.response()).startswith(b"HTTP/1.1 200")
        assert await expected.rest() == b""
        newest.writer.close()
        await newest.writer.wait_closed()
        await server.connect(HALF_A_HEADER)


async def test_requests_in_progress_are_never_replaced(serve: Serve) -> None:
    server = await serve(PATIENT)
    waiting = [await server.connect(REQUEST.replace(b"/now", b"/wait")) for _ in range(3)]
    await asyncio.sleep(0.1)
    refused = await server.connect(REQUEST)
    response = await refused.rest()
    assert response.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in response
    server.release.set()
    assert [(await connection.response())[:12] for connection in waiting] == [b"HTTP/1.1 200"] * 3
    # the connections are idle now, so that a new one replaces the first of them
    newest = await server.connect(REQUEST)
    assert (await newest.response()).startswith(b"HTTP/1.1 200")
    assert await waiting[0].rest() == b""


async def test_the_address_with_most_connections_is_replaced_first(serve: Serve) -> None:
    server = await serve(PATIENT.model_copy(update={"max_connections": 4}))
    first = await server.connect(HALF_A_HEADER)
    held = [await server.connect(HALF_A_HEADER, "127.0.0.2") for _ in range(3)]
    for connection in held[:2]:
        await server.connect(HALF_A_HEADER, "127.0.0.3")
        assert await connection.rest() == b""
    await first.send(b"1\r\n\r\n")
    assert (await first.response()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("open_files", "connections"), [(64, 32), (256, 128), (512, 256), (1024, 768), (1256, 1000), (1_048_576, 1000)]
)
def test_default_number_of_connections(open_files: int, connections: int) -> None:
    assert default_connections(open_files) == connections


def test_an_empty_number_of_connections_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_CONNECTIONS", "")
    assert ConnectionSettings().max_connections is None


def test_more_connections_than_open_files_end_the_program() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pytest.raises(SystemExit, match=rf"^program: MAX_CONNECTIONS: \d+ connections need more than {hard} open"):
        limits_or_exit("program", ConnectionSettings(max_connections=hard + 1))


def test_the_limit_of_open_files_is_raised() -> None:
    program = (
        "import resource; from memicos_service.connections.settings import *;"
        "limits = limits_or_exit('program', ConnectionSettings());"
        "print(limits.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = ["sh", "-c", 'ulimit -Sn 100; ulimit -Hn 900; exec "$@"', "sh", sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "644 (900, 900)\n"
