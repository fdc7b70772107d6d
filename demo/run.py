"""`make demo`: runs PostgreSQL, the three servers and the import of the demo's dataset, until Ctrl-C.

Order: check that ports are free, start PostgreSQL, start the webapp (which migrates the database), import the dataset.
At the same time the model is downloaded (the first time) and inference loads it, while pages say "loading". Where an
earlier run has imported the dataset, autointerp and the import, which then changes nothing, wait for inference.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Coroutine
from contextlib import nullcontext, suppress
from pathlib import Path

from demo_options import ROOT, Options, Server, read_options
from memicos_webapp.database.embedded import embedded
from memicos_webapp.database.errors import DatabaseError
from supervisor import (
    Console,
    Interrupted,
    Program,
    Stop,
    Supervisor,
    interrupt_on_signals,
    run_until_stopped,
    say_stopping,
)

POLL_SECONDS = 0.1
DEFER_SECONDS = 60
"""Longest delay of programs that wait until inference is ready."""
WARNINGS = re.compile(r"\b(WARNING|ERROR|FATAL|PANIC):")
ORDINARY = re.compile(r"ERROR:  canceling autovacuum task$")
"""PostgreSQL ends its own clean-up of a table where an import needs it, and repeats it later."""


async def run_together(*parts: Coroutine[None, None, None]) -> None:
    """Run all coroutines; the first Stop cancels the others and is raised."""
    first: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except* Stop as stopped:
        # raised below: some versions of Python 3.11 wrap what is raised here in a group of its own
        first = stopped.exceptions[0]
    if first is not None:
        raise Stop(str(first))


class Demo:
    def __init__(
        self, options: Options, database_url: str, console: Console, supervisor: Supervisor, started_at: float
    ) -> None:
        self.options = options
        self.environment = {**options.environment, "DATABASE_URL": database_url}
        self.console = console
        self.supervisor = supervisor
        self.started_at = started_at
        self.inference_ready = asyncio.Event()
        self.imported = asyncio.Event()
        self.autointerp_ready = False

    def say(self, text: str) -> None:
        self.console.say("demo", text)

    @property
    def url(self) -> str:
        return self.options.webapp.url

    def elapsed(self) -> str:
        return f"after {time.monotonic() - self.started_at:.1f} s"

    def program(self, name: str, *arguments: str | Path) -> Program:
        return Program(name, [sys.executable, *map(str, arguments)], self.environment)

    async def run(self) -> None:
        """Run all programs until one of them ends.

        Raises:
            Stop: a program ended or failed.
        """
        parts = [self.serve_webapp(), self.serve_inference()]
        if not self.options.database_url:
            parts.append(self.watch_postgres())
        await run_together(*parts)

    async def serve_webapp(self) -> None:
        """Run the webapp, and, once it serves, the import and autointerp: the webapp starts faster alone."""
        await run_together(
            self.supervisor.serve(self.program("webapp", "-m", "memicos_webapp")),
            self.import_dataset(),
            self.serve_autointerp(),
            self.serve_worker(),
        )

    async def import_dataset(self) -> None:
        """Import the dataset, and print the address as soon as a dashboard is served."""
        webapp, page = self.options.webapp, self.options.first_page
        status, _ = await first_answer(webapp, page)
        # an earlier run has imported it: no need to wait for this import
        if imported_before := status == 200:
            self.say(f"pages are served {self.elapsed()}: open {self.url}")
            await self.until_inference_ready()
        # keeps sources that the user added to the demo's set
        command = ("-m", "memicos_webapp.datasets.commands", "--keep-missing", self.options.dataset)
        await self.supervisor.finish(self.program("import", *command))
        self.imported.set()
        status, _ = await first_answer(webapp, page)
        if status != 200:
            self.say(f"{webapp.url}{page} is answered with status {status}; see the webapp's lines")
        elif not imported_before:
            self.say(f"pages are served {self.elapsed()}: open {self.url}")

    async def serve_inference(self) -> None:
        """Download the model if it is missing, then run inference."""
        if self.options.fetch_model:
            model = self.program("model", ROOT / "demo/model.py", "--data", self.options.data)
            await self.supervisor.finish(model)
        inference = self.program("inference", "-m", "memicos_inference", "--env-file", self.options.inference_config)
        await self.supervisor.keep(inference, self.announce_inference)

    async def serve_autointerp(self) -> None:
        """Run autointerp once the webapp answers, and once inference is ready where pages are there already."""
        status, _ = await first_answer(self.options.webapp, self.options.first_page)
        if status == 200:
            await self.until_inference_ready()
        await self.supervisor.keep(self.program("autointerp", "-m", "memicos_autointerp"), self.announce_autointerp)

    async def serve_worker(self) -> None:
        """Run the worker of background jobs once all else has started; nothing waits for it."""
        await self.imported.wait()
        await self.until_inference_ready()

        async def announce() -> None:
            pass

        await self.supervisor.keep(self.program("worker", "-m", "memicos_webapp.worker"), announce)

    async def until_inference_ready(self) -> None:
        """Wait until inference has loaded, at most DEFER_SECONDS, so that it has all processors."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.inference_ready.wait(), DEFER_SECONDS)

    async def announce_inference(self) -> None:
        """Print a line when inference is ready, at its first start and at each restart.

        Raises:
            Stop: it could not load the model.
        """
        started_at = time.monotonic()
        ready = False
        while not ready:
            status, body = await first_answer(self.options.inference, "/health")
            health = {}
            # a server that is killed sends a part of its answer
            with suppress(ValueError):
                health = json.loads(body) if status == 200 else {}
            if health.get("state") == "failed":
                raise Stop(f"inference could not load the model: {health.get('progress')}")
            ready = health.get("ready", False)
            await asyncio.sleep(POLL_SECONDS)
        if self.inference_ready.is_set():
            when = f"again {time.monotonic() - started_at:.1f} s after its restart"
            self.say(f"inference is ready {when}: your own text, search by text and steering work at {self.url}")
            return
        self.inference_ready.set()
        self.say(f"inference is ready {self.elapsed()}: your own text, search by text and steering work now")

    async def announce_autointerp(self) -> None:
        """Print a line when autointerp answers after a restart."""
        started_at = time.monotonic()
        status = 0
        while not status:
            status, _ = await first_answer(self.options.autointerp, "/health")
            await asyncio.sleep(POLL_SECONDS)
        if self.autointerp_ready:
            when = f"again {time.monotonic() - started_at:.1f} s after its restart"
            self.say(f"autointerp is ready {when}: explanations by a language model work at {self.url}")
        self.autointerp_ready = True

    async def watch_postgres(self) -> None:
        """Print PostgreSQL's warnings and errors."""
        with (self.options.data / "postgres" / "log").open(errors="replace") as log:
            log.seek(0, os.SEEK_END)
            while True:
                for line in log:
                    if WARNINGS.search(line) and not ORDINARY.search(line):
                        self.console.say("postgres", line.rstrip())
                await asyncio.sleep(1)


async def get(server: Server, path: str) -> tuple[int, bytes]:
    """Status and body of a GET. Raises OSError if nothing listens there."""
    reader, writer = await asyncio.open_connection(server.local_host, server.port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {server.address}\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return int(head.split()[1]) if head else 0, body


async def first_answer(server: Server, path: str) -> tuple[int, bytes]:
    """Status and body of a GET, as soon as something listens there."""
    while True:
        try:
            return await get(server, path)
        except OSError:
            await asyncio.sleep(POLL_SECONDS)


def main() -> int:
    started_at = time.monotonic()
    # the start of PostgreSQL may wait for another start
    interrupt_on_signals()
    console = Console(width=len("autointerp"))
    try:
        options = read_options(console)
        folder = options.data / "postgres"
        database_url = options.database_url
        with nullcontext(database_url) if database_url else embedded(folder, options.system_data) as url:
            console.say("postgres", "DATABASE_URL is used" if database_url else f"runs in {folder}")
            supervisor = Supervisor(console, ROOT)
            demo = Demo(options, url, console, supervisor, started_at)
            status = asyncio.run(run_until_stopped(supervisor, demo.run))
        return status
    except Interrupted as interrupted:
        return say_stopping(console, interrupted.number)
    except (Stop, DatabaseError) as problem:
        for line in str(problem).splitlines():
            console.say("demo", line)
        return 1


if __name__ == "__main__":
    sys.exit(main())
