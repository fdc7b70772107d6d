"""`memicos upload` and the webapp are killed with SIGKILL at random moments: one import, equal to a local one."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from memicos_testing.webapp.database import fetch
from memicos_testing.webapp.imports.dataset_imports import until
from memicos_testing.webapp.jobs.job_worker import worker
from memicos_testing.webapp.small_dataset import write_dataset
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import IMPORT, load

CONTENT = """SELECT source.name, feature.index, feature.max_activation, feature.values FROM feature
             JOIN source ON source.current_load_id = load_id ORDER BY source.name, feature.index"""
PART_BYTES = "4000"
START_SECONDS = 120


@dataclass
class Server:
    """A webapp that can be killed and started again on the same port, database and folder."""

    database: str
    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        variables = {
            "DATABASE_URL": self.database,
            "MEMICOS_DATA": str(self.data),
            "MEMICOS_PORT": str(self.port),
            "MEMICOS_UPLOAD_PART_BYTES": PART_BYTES,
            "MEMICOS_UPLOAD_FREE_BYTES": "0",
            "MEMICOS_EMBED_EVERY_SECONDS": "0",
            "MEMICOS_CLEANUP_EVERY_SECONDS": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "memicos_webapp"], env=os.environ | variables, stderr=subprocess.DEVNULL
        )

    def wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the webapp did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def start_client(dataset: Path, url: str) -> subprocess.Popen[bytes]:
    code = "from memicos_cli.main import app; app()"
    arguments = ["upload", str(dataset), "--to", url, "--no-wait", "--parallel", "2"]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def database_server() -> Iterator[str]:
    with temporary() as url:
        yield url


async def new_database(server: str, name: str) -> str:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    url = server.replace("/postgres?", f"/{name}?")
    await migrate(url)
    return url


@pytest.fixture
async def server(database_server: str, tmp_path: Path) -> AsyncIterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(await new_database(database_server, f"kills{port}"), tmp_path / "data", port)
    server.start()
    await asyncio.to_thread(server.wait)
    yield server
    server.kill()


async def check(server: Server, database_server: str, folder: Path, rounds: int) -> None:
    generator = random.Random(rounds)
    reference = await new_database(database_server, f"reference{server.port}")
    seconds, killed = 3.0, 0
    for number in range(rounds):
        dataset = folder / f"dataset{number}"
        write_dataset(dataset, seed=number)
        begun = time.monotonic()
        client = start_client(dataset, server.url)
        # client and server take turns
        await asyncio.sleep(generator.uniform(0.3 * seconds, seconds))
        if number % 2:
            running = client.poll() is None
            await asyncio.to_thread(server.kill)
            server.start()
        else:
            running = client.poll() is None
            client.kill()
            await asyncio.to_thread(client.wait)
            begun = time.monotonic()
            client = start_client(dataset, server.url)
        killed += running
        assert await asyncio.to_thread(client.wait, 300) == 0
        seconds = min(seconds, time.monotonic() - begun)
        await asyncio.to_thread(server.wait)
        jobs = await fetch(server.database, "SELECT id FROM job")
        assert len(jobs) == number + 1
        await _run_jobs(server.database)
        await load(dataset, reference)
        assert await fetch(server.database, CONTENT) == await fetch(reference, CONTENT)
    assert killed >= rounds / 2


async def _run_jobs(url: str) -> None:
    async def done() -> bool:
        return {row["state"] for row in await fetch(url, "SELECT state::text FROM job")} == {"done"}

    async with worker(url, IMPORT):
        await until(done)


async def test_three_killed_uploads_go_on(server: Server, database_server: str, tmp_path: Path) -> None:
    await check(server, database_server, tmp_path, 3)


@pytest.mark.slow
async def test_twenty_killed_uploads_go_on(server: Server, database_server: str, tmp_path: Path) -> None:
    await check(server, database_server, tmp_path, 20)
