"""While the database takes no connections, as it starts, ends or is full, requests get a 503; later they succeed."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from memicos_testing.servers import Start
from sqlalchemy import make_url

SSL_REQUEST = struct.pack("!I", 80877103)
FEATURE = {"modelId": "small", "layer": "1-res", "index": "5"}
REQUESTS: dict[str, dict[str, Any] | None] = {
    "/": None,
    "/small/1-res/5": None,
    "/api/feature/small/1-res/5": None,
    "/account": None,
    "/api/explanation/search-all": {"query": "whales"},
    "/api/activation/new": {"feature": FEATURE, "customText": "the whale"},
    "/api/steer": {
        "modelId": "small",
        "prompt": "Once",
        "n_tokens": 2,
        "features": [{**FEATURE, "index": 5, "strength": 20}],
    },
}
REFUSALS = {
    "starting": ("57P03", "the database system is not yet accepting connections"),
    "ending": ("57P03", "the database system is shutting down"),
    "full": ("53300", "sorry, too many clients already"),
}
"""Answers of PostgreSQL to a new connection: SQLSTATE and message."""


class Gate:
    """A TCP port before a PostgreSQL, whose new connections reach it or not; `state` is `up`, `refused`, `closed` or a
    key of REFUSALS."""

    def __init__(self, socket_path: str) -> None:
        self.state = "up"
        self.port = 0
        self._socket_path = socket_path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def set(self, state: str) -> None:
        """Change the state, and end the connections that exist."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self.state = state
        if state != "refused":
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            if self.state == "up":
                inner_reader, inner_writer = await asyncio.open_unix_connection(self._socket_path)
                self._writers.add(inner_writer)
                await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
            elif self.state in REFUSALS:
                await _refuse(reader, writer, *REFUSALS[self.state])
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: str, message: str) -> None:
    """Answer a connection as PostgreSQL does that takes none now: an ErrorResponse with this SQLSTATE."""
    header = await reader.readexactly(8)
    if header[4:] == SSL_REQUEST:
        writer.write(b"N")
        header = await reader.readexactly(8)
    await reader.readexactly(struct.unpack("!I", header[:4])[0] - 8)
    fields = f"SFATAL\0VFATAL\0C{state}\0M{message}\0\0".encode()
    writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
    await writer.drain()


@pytest.fixture
async def gate(own_url: str) -> AsyncIterator[Gate]:
    gate = Gate(f"{make_url(own_url).query['host']}/.s.PGSQL.5432")
    await gate.set("up")
    yield gate
    await gate.set("refused")


@pytest.fixture
async def client(started: Start, own_url: str, gate: Gate) -> AsyncIterator[httpx.AsyncClient]:
    url = f"postgresql://postgres@127.0.0.1:{gate.port}/{make_url(own_url).database}"
    async with started(url) as client:
        yield client


async def statuses(client: httpx.AsyncClient) -> dict[str, int]:
    """The status of each request; a 503 says what to do."""
    result = {}
    for path, body in REQUESTS.items():
        response = await (client.get(path) if body is None else client.post(path, json=body))
        result[path] = response.status_code
        if response.status_code == 503:
            assert "The database does not answer; try again." in response.text
            assert response.headers["retry-after"] == "5"
    return result


@pytest.mark.parametrize("state", ["refused", "closed", *REFUSALS])
async def test_a_database_that_takes_no_connections(client: httpx.AsyncClient, gate: Gate, state: str) -> None:
    assert set((await statuses(client)).values()) == {200}
    await gate.set(state)
    # first by the connections of the pool, which are broken, then by new ones
    for _ in range(3):
        assert set((await statuses(client)).values()) == {503}
    await gate.set("up")
    assert set((await statuses(client)).values()) == {200}
