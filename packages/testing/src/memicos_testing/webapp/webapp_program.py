"""A webapp in a process of its own over a dataset, and visitors with addresses of their own."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from memicos_webapp.database.embedded import temporary
from memicos_webapp.database.migrate import migrate
from memicos_webapp.datasets.service import load

START_SECONDS = 120


@contextmanager
def webapp(dataset: Path, inference_url: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """Serve the dataset in `dataset`, with the inference server at `inference_url`; yields the webapp's URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with temporary() as database:
        asyncio.run(_fill(database, dataset))
        variables = {"DATABASE_URL": database, "MEMICOS_PORT": str(port), "INFERENCE_URL": inference_url}
        with served(port, os.environ | variables | (env or {})) as url:
            yield url


@contextmanager
def served(port: int, env: Mapping[str, str]) -> Iterator[str]:
    """Run the webapp with the variables `env`, of which MEMICOS_PORT is `port`; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "memicos_webapp"], env={"MEMICOS_LOG_REQUESTS": "0", **env}, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_SECONDS
        while not _is_served(url):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the webapp did not start; run it alone to see its log (docs/webapp.md)")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(120)


async def _fill(database: str, dataset: Path) -> None:
    await migrate(database)
    await load(dataset, database)


def _is_served(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def visitor(url: str, number: int) -> httpx.AsyncClient:
    """A client with an address of its own, 127.1.x.y: the webapp takes it for a visitor of its own."""
    transport = httpx.AsyncHTTPTransport(local_address=f"127.1.{number // 250}.{number % 250 + 1}")
    return httpx.AsyncClient(base_url=url, transport=transport, timeout=300)
