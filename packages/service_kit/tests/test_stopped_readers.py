"""Clients that stop reading a response are closed and end its work; slow ones get all of it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from memicos_service.connections.settings import ConnectionSettings
from memicos_service.logs import request_log
from memicos_service.logs.request_log import FinishedRequest, RequestObserver
from memicos_testing.servers import running

SEND_SECONDS = 0.4
LIMITS = ConnectionSettings(send_seconds=SEND_SECONDS)
EVENT = f"data: {'x' * 4000}\n\n"
LARGE_BYTES, TAIL_BYTES = 8 * 2**20, 400 * 1024
SLOW_BYTES = 600_000


class Observer(RequestObserver):
    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[int] = []
        self.streams_open = 0

    def finished(self, request: FinishedRequest) -> None:
        self.statuses.append(request.status)


@asynccontextmanager
async def served(limits: ConnectionSettings) -> AsyncIterator[tuple[str, Observer]]:
    app, observer = FastAPI(), Observer()
    request_log.install(app, logging.getLogger("kit.requests"), observer)

    @app.get("/events")
    async def _events(count: int) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            observer.streams_open += 1
            try:
                for _ in range(count):
                    yield EVENT
            finally:
                observer.streams_open -= 1

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.get("/body")
    async def _body(size: int) -> Response:
        return Response(b"x" * size)

    async with running(app, limits=limits) as url:
        yield url, observer


def get(url: str, path: str, receive_bytes: int = 2048) -> socket.socket:
    """A connection that has requested `path` and read nothing."""
    target = httpx.URL(url)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    reader.connect((target.host, target.port))
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: {target.netloc.decode()}\r\n\r\n".encode())
    return reader


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until `condition` holds."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return loop.time() - start


async def test_a_stopped_reader_is_closed_and_its_work_ends(caplog: pytest.LogCaptureFixture) -> None:
    async with served(LIMITS) as (url, observer):
        readers = [get(url, "/events?count=100000") for _ in range(3)]
        seconds = await until(lambda: len(observer.statuses) == 3, 20)
        assert seconds >= SEND_SECONDS * 0.9
        assert observer.statuses == [499] * 3 and observer.streams_open == 0
        for reader in readers:
            assert await asyncio.to_thread(read_all, reader) < 2**20
    assert "clients stopped reading" in caplog.text


@pytest.mark.parametrize("size", [LARGE_BYTES, TAIL_BYTES])
async def test_a_reader_that_stops_before_the_end_of_a_finished_response_is_closed(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The application has passed on the whole response: the server alone holds the connection."""
    async with served(LIMITS) as (url, observer):
        reader = get(url, f"/body?size={size}")
        await until(lambda: observer.statuses == [200], 10)
        assert "clients stopped reading" not in caplog.text
        await until(lambda: "clients stopped reading" in caplog.text, 10)
        assert await asyncio.to_thread(read_all, reader) < size


@pytest.mark.parametrize("path", [f"/events?count={SLOW_BYTES // len(EVENT)}", f"/body?size={SLOW_BYTES}"])
async def test_a_slow_reader_gets_the_whole_response(path: str) -> None:
    """It takes several times as long as a reader may be stopped, and as a connection may be idle."""
    async with served(LIMITS.model_copy(update={"idle_seconds": 0.3})) as (url, observer):
        reader = get(url, path, 16_384)
        received, start = 0, asyncio.get_running_loop().time()
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            while received < SLOW_BYTES * 0.98:
                part = await loop.sock_recv(reader, 32_768)
                assert part, f"closed after {received} bytes"
                received += len(part)
                await asyncio.sleep(0.08)
        assert loop.time() - start > 3 * SEND_SECONDS
        assert observer.statuses == [200]
        reader.close()


def read_all(reader: socket.socket) -> int:
    """Number of bytes until the connection is closed."""
    reader.settimeout(10)
    received = 0
    with reader, suppress(ConnectionResetError):
        while part := reader.recv(2**20):
            received += len(part)
    return received
