"""While the database takes no connections, or ends sessions, requests get a 503; later they succeed.

A port in front of PostgreSQL answers as one that starts, ends or is full; another server is really stopped.
"""

import asyncio
import os
import signal
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.servers import Start
from memicos_testing.webapp.database import connected, fetch
from memicos_testing.webapp.owner_probes import owner_probes
from memicos_testing.webapp.visibility_probes import NONE, PROBES, Probe
from memicos_webapp.database import embedded as embedded_module
from memicos_webapp.database import engine
from memicos_webapp.database.embedded import embedded, postgres_server
from memicos_webapp.database.embedded.users import owner
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load
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


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that the test stops and starts: nothing else does."""
    monkeypatch.setattr(embedded_module, "WATCH_SECONDS", 3600)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with embedded(Path(name) / "postgres", Path(name)) as url:
            yield url


async def send(client: httpx.AsyncClient, method: str, probe: Probe) -> httpx.Response:
    return await client.request(method, probe.path, json=probe.body, data=probe.form, headers=probe.headers)


def stop(folder: Path) -> None:
    """End the server, as an administrator does."""
    running = postgres_server.find_running(folder)
    assert running is not None
    os.kill(running.pid, signal.SIGINT)
    while (folder / "postmaster.pid").exists():
        time.sleep(0.05)


UPLOAD = {"uploadId": "0" * 32}
OWN_REQUESTS = [
    ("GET", Probe("/vectors", NONE)),
    ("GET", Probe("/account/provider-keys", NONE)),
    ("POST", Probe("/account/provider-keys/987654321/delete", NONE, form={})),
    ("POST", Probe("/api/vector/list-owned", NONE, body={})),
    (
        "POST",
        Probe(
            "/api/dataset-upload/new",
            NONE,
            body={"name": "mine", "files": [{"path": "manifest.json", "bytes": 1, "sha256": "0" * 64}]},
        ),
    ),
    ("POST", Probe("/api/dataset-upload/get", NONE, body=UPLOAD)),
    ("PUT", Probe(f"/api/dataset-upload/part/{'0' * 32}/0/0", NONE, headers={"X-Part-SHA256": "0" * 64})),
    ("POST", Probe("/api/dataset-upload/complete", NONE, body=UPLOAD)),
    ("POST", Probe("/api/dataset-upload/delete", NONE, body=UPLOAD)),
]
"""Requests to routes of what an account itself stored."""


def route_requests(import_root: Path) -> list[tuple[str, Probe]]:
    listed = [(method, probes[0]) for (method, _), probes in PROBES.items() if probes]
    owners = [(method, probe) for (method, _), probe in owner_probes(str(import_root), permitted=True).items()]
    return listed + owners + OWN_REQUESTS


async def test_every_route_says_that_the_database_is_down_and_recovers(
    started: Start, own_server: str, small_dataset: Path, inference: FakeInferenceServer, tmp_path: Path
) -> None:
    requests = route_requests(small_dataset)
    await migrate(own_server)
    await load(small_dataset, own_server)
    folder = Path(str(make_url(own_server).query["host"]))
    async with started(own_server, import_roots=str(small_dataset), data=tmp_path) as client:
        # those that change nothing
        before = {
            (method, probe.path): (await send(client, method, probe)).status_code
            for method, probe in requests
            if method == "GET"
        }
        assert 200 in before.values() and 500 not in before.values()
        await asyncio.to_thread(stop, folder)
        for method, probe in requests:
            response = await send(client, method, probe)
            assert (response.status_code, response.headers.get("retry-after")) == (503, "5"), probe.path
            assert "The database does not answer; try again." in response.text
        health = await client.get("/health")
        assert health.status_code == 503
        programs = embedded_module.program_folder()
        assert programs is not None
        user = owner(folder)
        server, process = await asyncio.to_thread(postgres_server.start, programs, folder, user, folder)
        try:
            # connections of before the stop are found dead one at a time
            await asyncio.gather(*(client.get("/") for _ in range(20)))
            for method, probe in requests:
                if method == "GET":
                    response = await send(client, method, probe)
                    assert response.status_code == before[method, probe.path], probe.path
            assert (await client.get("/health")).status_code == 200
        finally:
            await asyncio.to_thread(postgres_server.stop, server, process)


async def test_sessions_that_the_server_ends_are_503_and_the_next_ones_work(
    started: Start, own_url: str, inference: FakeInferenceServer
) -> None:
    async with started(own_url) as client:

        async def end_sessions() -> None:
            for _ in range(20):
                await fetch(
                    own_url,
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = 'memicos-webapp'""",
                )
                await asyncio.sleep(0.02)

        async def read() -> list[int]:
            return [(await client.get("/small/1-res/5")).status_code for _ in range(40)]

        results = await asyncio.gather(end_sessions(), *(read() for _ in range(8)))
        statuses = {status for result in results if result for status in result}
        assert 503 in statuses and statuses <= {200, 503}
        await asyncio.gather(*(client.get("/small/1-res/5") for _ in range(20)))
        assert await read() == [200] * 40


TABLES = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public'"
END_WAITING = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name LIKE 'memicos%' AND wait_event_type = 'Lock'"""


@pytest.mark.slow
@pytest.mark.parametrize("cut", [False, True], ids=["sessions that the server ends", "connections that are cut"])
async def test_an_outage_during_a_statement_is_503_on_every_route(
    started: Start,
    own_url: str,
    gate: Gate,
    small_dataset: Path,
    inference: FakeInferenceServer,
    tmp_path: Path,
    cut: bool,
) -> None:
    """Each request waits for a lock when its connection ends, also those on connections of their own (`DataAdmin`)."""
    url = f"postgresql://postgres@127.0.0.1:{gate.port}/{make_url(own_url).database}"
    options: dict[str, Any] = {"import_roots": str(small_dataset), "data": tmp_path, "embed_every_seconds": 0}
    async with started(url, **options) as client, connected(own_url) as locks, connected(own_url) as other:
        async with locks.transaction():
            await locks.execute(f"LOCK {await locks.fetchval(TABLES)} IN ACCESS EXCLUSIVE MODE")
            waiting = asyncio.gather(*(send(client, *request) for request in route_requests(small_dataset)))
            while not waiting.done():
                await asyncio.sleep(0.05)
                if cut:
                    await gate.set("up")
                else:
                    await other.execute(END_WAITING)
        responses = await waiting
        ended = [response for response in responses if response.status_code == 503]
        assert len(ended) > 0.7 * len(responses)
        for response in responses:
            assert response.status_code < 500 or response.headers.get("retry-after"), (response.url, response.text)
        # the connections of before are found dead one at a time
        await asyncio.gather(*(client.get("/") for _ in range(20)))
        assert set((await statuses(client)).values()) == {200}


@pytest.mark.slow
async def test_a_database_that_does_not_answer_at_all_is_503(
    started: Start, own_server: str, inference: FakeInferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes are stopped, as on a machine that hangs: connections stay, and nothing is sent on them."""
    monkeypatch.setattr(engine, "ANSWER_MARGIN_SECONDS", 0.5)
    await migrate(own_server)
    folder = Path(str(make_url(own_server).query["host"]))
    running = postgres_server.find_running(folder)
    assert running is not None
    async with started(own_server, statement_seconds=0.5, embed_every_seconds=0) as client:
        assert (await client.get("/")).status_code == (await client.get("/account/data")).status_code == 200
        processes = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            response = await client.get("/", timeout=20)
        finally:
            for process in reversed(processes):
                process.resume()
        assert (response.status_code, response.headers.get("retry-after")) == (503, "5")
        await asyncio.gather(*(client.get("/") for _ in range(20)))
        assert (await client.get("/")).status_code == 200
