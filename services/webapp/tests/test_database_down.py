"""A database that is stopped, or ends sessions, gives 503 on every route, and the webapp recovers."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from memicos_testing.fake_inference_server import FakeInferenceServer
from memicos_testing.webapp.database import fetch
from memicos_testing.webapp.visibility_probes import PROBES, Probe
from memicos_webapp.database import embedded as embedded_module
from memicos_webapp.database import postgres_server, system_user
from memicos_webapp.database.embedded import embedded
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load
from sqlalchemy import make_url

Start = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


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


def requests() -> list[tuple[str, Probe]]:
    return [(method, probes[0]) for (method, _), probes in PROBES.items() if probes]


async def test_every_route_says_that_the_database_is_down_and_recovers(
    started: Start, own_server: str, small_dataset: Path, inference: FakeInferenceServer
) -> None:
    await migrate(own_server)
    await load(small_dataset, own_server)
    folder = Path(str(make_url(own_server).query["host"]))
    async with started(own_server) as client:
        # those that change nothing
        before = {
            (method, probe.path): (await send(client, method, probe)).status_code
            for method, probe in requests()
            if method == "GET"
        }
        assert 200 in before.values() and 500 not in before.values()
        await asyncio.to_thread(stop, folder)
        for method, probe in requests():
            response = await send(client, method, probe)
            assert (response.status_code, response.headers.get("retry-after")) == (503, "5"), probe.path
            assert "The database does not answer; try again." in response.text
        health = await client.get("/health")
        assert health.status_code == 503
        programs = embedded_module.program_folder()
        assert programs is not None
        user = system_user.owner(folder)
        server, process = await asyncio.to_thread(postgres_server.start, programs, folder, user, folder)
        try:
            # connections of before the stop are found dead one at a time
            await asyncio.gather(*(client.get("/") for _ in range(20)))
            for method, probe in requests():
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
