"""`make demo`: runs PostgreSQL, the three servers and the import of the demo's dataset, until Ctrl-C.

Order: check that ports are free, start PostgreSQL, start the webapp (which migrates the database), import the dataset.
At the same time the model is downloaded (the first time) and inference loads it, while pages say "loading". Where an
earlier run has imported the dataset, autointerp and the import, which then changes nothing, wait for inference.
"""

import argparse
import asyncio
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Coroutine, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import ports
from dotenv import dotenv_values
from memicos_cli import service_links
from memicos_service.settings import check_env_file
from memicos_webapp.database.embedded import embedded
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.settings import SYSTEM_DATA
from pydantic_settings import BaseSettings
from supervisor import (
    Console,
    Interrupted,
    Program,
    Stop,
    Supervisor,
    ignore_signals,
    interrupt_on_signals,
    run_until_stopped,
    say_stopping,
)

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data"
"""The data folder where MEMICOS_DATA is not set; env files in the repository name the demo's model in it."""
POLL_SECONDS = 0.1
DEFER_SECONDS = 60
"""Longest delay of programs that wait until inference is ready."""
WARNINGS = re.compile(r"\b(WARNING|ERROR|FATAL|PANIC):")


@dataclass(frozen=True)
class Server:
    """Address of a server; the variables `prefix`_HOST and `prefix`_PORT change it."""

    name: str
    prefix: str
    port: int
    host: str = "127.0.0.1"

    @property
    def local_host(self) -> str:
        """The host name for connections from this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def address(self) -> str:
        return f"[{self.local_host}]:{self.port}" if ":" in self.local_host else f"{self.local_host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"


SERVERS = (
    Server("webapp", "MEMICOS", 3000),
    Server("inference", "INFERENCE", 5002),
    Server("autointerp", "AUTOINTERP", 5003),
)


@dataclass(frozen=True)
class Options:
    data: Path
    dataset: Path
    first_page: str
    """Path of one dashboard of the dataset."""
    inference_config: Path
    fetch_model: bool
    environment: dict[str, str]
    """Environment of every program: variables that are set override `.env`, which overrides the servers' addresses."""
    webapp: Server
    inference: Server
    autointerp: Server

    @property
    def database_url(self) -> str | None:
        return self.environment.get("DATABASE_URL") or None

    @property
    def system_data(self) -> Path:
        return Path(self.environment.get("MEMICOS_SYSTEM_DATA") or SYSTEM_DATA)


def first_page(dataset: Path) -> str:
    """Path of the first dashboard of the middle source.

    Raises:
        Stop: the folder has no readable manifest.
    """
    file = dataset / "manifest.json"
    try:
        manifest = json.loads(file.read_bytes())
        sources = manifest["source_set"]["sources"]
        return f"/{manifest['model']['id']}/{sources[len(sources) // 2]['id']}/0"
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Stop(f"{file} is not the manifest of a dataset ({error})") from error


def configured(server: Server, environment: dict[str, str]) -> Server:
    """The server with host and port from the environment.

    Raises:
        Stop: the port is not a number from 1 to 65535.
    """
    name = f"{server.prefix}_PORT"
    port = environment.get(name, str(server.port))
    if not (port.isascii() and port.isdecimal()) or not 1 <= int(port) <= 65535:
        raise Stop(f"{name}={port} is not a port (1 to 65535)")
    host = environment.get(f"{server.prefix}_HOST") or server.host
    return replace(server, host=host, port=int(port))


def model_setting(inference_config: Path, data: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """CUSTOM_HF_MODEL_ID in the folder `data`, where the env file names a folder in the default data folder.

    Empty where `data` is the default, or the model is set in the environment or elsewhere in the env file.
    """
    model = dotenv_values(inference_config).get("CUSTOM_HF_MODEL_ID")
    if not model or "CUSTOM_HF_MODEL_ID" in environment or data == DATA:
        return {}
    folder = Path(os.path.normpath(ROOT / model))
    return {"CUSTOM_HF_MODEL_ID": str(data / folder.relative_to(DATA))} if folder.is_relative_to(DATA) else {}


def selftest_setting(inference_config: Path, data: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """INFERENCE_SELFTEST_RESULTS in the folder `data`; empty where the environment or the env file sets it."""
    name = "INFERENCE_SELFTEST_RESULTS"
    return {} if name in environment or name in dotenv_values(inference_config) else {name: str(data / "selftest")}


def read_options(console: Console) -> Options:
    """Read options from the command line, the environment and `.env`.

    Raises:
        Stop: an option or `.env` cannot be used, or a port is taken.
    """
    parser = argparse.ArgumentParser(prog="demo/run.py", description="The demo, until Ctrl-C.")
    parser.add_argument("--dataset", type=Path, default=ROOT / "demo/dataset", help="folder to import")
    parser.add_argument(
        "--inference-config",
        type=Path,
        default=ROOT / ".env.inference.smollm2-135m-it.res-4k",
        help="env file of the inference server",
    )
    parser.add_argument("--no-model", action="store_true", help="do not fetch the demo's model")
    arguments = parser.parse_args()
    env_file = ROOT / ".env"
    if env_file.is_file():
        try:
            check_env_file(env_file, BaseSettings)
        except ValueError as error:
            raise Stop(str(error)) from error
    from_file = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    environment = from_file | service_links.without(os.environ)
    if warning := service_links.warning(os.environ):
        console.say("demo", warning)
    servers = [configured(server, environment) for server in SERVERS]
    checks = [ports.port_problem(s.name, s.host, s.port, f"{s.prefix}_PORT") for s in servers]
    problems = [problem for problem in checks if problem]
    if problems:
        raise Stop("\n".join(problems))
    for server in servers:
        environment[f"{server.prefix}_HOST"] = server.host
        environment[f"{server.prefix}_PORT"] = str(server.port)
    webapp, inference, autointerp = servers
    environment.setdefault("INFERENCE_URL", inference.url)
    environment.setdefault("AUTOINTERP_URL", autointerp.url)
    # inference tells the webapp's visitors apart, and other programs of this machine cannot invent any
    environment.setdefault("INFERENCE_CLIENT_KEY", secrets.token_urlsafe(32))
    # a line for each request would hide the demo's own lines
    environment.setdefault("MEMICOS_LOG_REQUESTS", "0")
    environment.setdefault("INFERENCE_LOG_REQUESTS", "0")
    data = Path(os.path.normpath(ROOT / environment.get("MEMICOS_DATA", DATA)))
    config = arguments.inference_config.resolve()
    environment |= selftest_setting(config, data, environment)
    if not arguments.no_model:
        environment |= model_setting(config, data, environment)
    return Options(
        data=data,
        dataset=arguments.dataset.resolve(),
        first_page=first_page(arguments.dataset),
        inference_config=config,
        fetch_model=not arguments.no_model,
        environment=environment,
        webapp=webapp,
        inference=inference,
        autointerp=autointerp,
    )


async def run_together(*parts: Coroutine[None, None, None]) -> None:
    """Run all coroutines; the first Stop cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except* Stop as stopped:
        raise Stop(str(stopped.exceptions[0])) from None


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
                    if WARNINGS.search(line):
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
            # the loop has removed its handlers; nothing may interrupt PostgreSQL's shutdown
            ignore_signals()
        return status
    except Interrupted as interrupted:
        return say_stopping(console, interrupted.number)
    except (Stop, DatabaseError) as problem:
        for line in str(problem).splitlines():
            console.say("demo", line)
        return 1


if __name__ == "__main__":
    sys.exit(main())
