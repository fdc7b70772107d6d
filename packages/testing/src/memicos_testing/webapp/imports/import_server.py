"""Webapp and worker over an embedded PostgreSQL, in processes that tests kill, and that are started again."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from memicos_webapp.database.embedded import embedded
from memicos_webapp.database.embedded.postgres_server import find_running

from memicos_testing.programs import environment
from memicos_testing.servers import free_port
from memicos_testing.webapp.database import connected
from memicos_testing.webapp.imports.dataset_imports import until

PROGRAMS = {"webapp": "memicos_webapp", "worker": "memicos_webapp.worker"}
PARTS = ("worker", "webapp", "postgres")
"""What `ImportServer.kill` kills."""
START_SECONDS = 300

_TABLES = ("feature", "context", "document", "vocabulary", "explanation", "score")
"""Tables that an import fills."""
_NUMBERS = ("id", "load_id", "corpus_id", "source_id", "explanation_id", "created_at", "updated_at")
"""Columns that differ between two imports."""


@dataclass
class ImportServer:
    """The programs of a server that imports. What is killed is started again at once, as docker and systemd do; the
    embedded PostgreSQL by the programs that use it."""

    folder: Path
    roots: Path
    url: str
    port: int
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, roots: Path) -> "Iterator[ImportServer]":
        """With a new database in `folder`, which imports from `roots`."""
        folder.mkdir()
        with embedded(folder / "postgres") as url:
            server = cls(folder, roots, url, free_port())
            try:
                for name in PROGRAMS:
                    server.start(name)
                server.wait_until_served()
                yield server
            finally:
                for process in server.processes.values():
                    process.terminate()
                for process in server.processes.values():
                    process.wait(60)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str) -> None:
        variables = {
            "MEMICOS_DATA": str(self.folder),
            "MEMICOS_PORT": str(self.port),
            "MEMICOS_IMPORT_ROOTS": str(self.roots),
            "MEMICOS_RETIRED_LOAD_SECONDS": "0",
            "MEMICOS_EMBED_EVERY_SECONDS": "0",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", PROGRAMS[name]], env=environment() | variables, stderr=log
            )

    async def kill(self, part: str) -> float:
        """Kill a part with SIGKILL; returns when (`time.time`)."""
        if part == "postgres":
            running = find_running((self.folder / "postgres").resolve())
            assert running is not None
            os.kill(running.pid, signal.SIGKILL)
            return time.time()
        self.processes[part].kill()
        killed_at = time.time()
        await asyncio.to_thread(self.processes[part].wait)
        self.start(part)
        return killed_at

    async def get(self, client: httpx.AsyncClient, path: str) -> Any:
        """The JSON at a path; None while a part is being started again."""
        try:
            response = await client.get(path)
        except httpx.TransportError:
            return None
        assert response.status_code in (200, 503), f"{path}: {response.status_code}: {response.text}"
        return response.json() if response.status_code == 200 else None

    async def wait(self, client: httpx.AsyncClient) -> None:
        """Wait until the webapp and the database answer."""

        async def answers() -> bool:
            return await self.get(client, "/api/admin/data") is not None

        await until(answers)

    def wait_until_served(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.address}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"the webapp did not start:\n{(self.folder / 'webapp.log').read_text()}")


async def stored_rows(url: str) -> dict[str, tuple[int, str]]:
    """Number and MD5 of the rows of each table that an import fills, without what differs between imports."""
    found = {}
    async with connected(url) as connection:
        for table in _TABLES:
            columns = await connection.fetchval(
                """SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
                   FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1
                     AND column_name <> ALL($2) AND is_generated = 'NEVER'""",
                table,
                list(_NUMBERS),
            )
            row = await connection.fetchrow(
                # by the rows themselves: features of two sources have the same indices
                f"""SELECT count(*), md5(string_agg(digest, '' ORDER BY digest)) AS md5
                    FROM (SELECT md5(ROW({columns})::text) AS digest FROM {table}) AS rows"""  # noqa: S608 (names)
            )
            assert row is not None
            found[table] = (row["count"], row["md5"])
    return found
