"""The three servers as programs on free ports, as a user starts them; inference has no model and reports only that."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from memicos_webapp.database.embedded import temporary

from memicos_testing.servers import free_port

PREFIXES = {"webapp": "MEMICOS", "inference": "INFERENCE", "autointerp": "AUTOINTERP"}
"""Prefix of each program's variables."""
SETTINGS = (*(f"{prefix}_" for prefix in PREFIXES.values()), "DATABASE_URL", "SECRET", "OPENAI_", "MODEL_ID")
"""Beginnings of the names of variables that the programs read."""
START_SECONDS = 120


@dataclass(frozen=True)
class Program:
    """A running server. `log_file` has its standard error."""

    name: str
    process: psutil.Process
    port: int
    client: httpx.Client
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")


def environment() -> dict[str, str]:
    """This process's environment without settings of the programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}


@contextmanager
def running_programs(
    folder: Path, variables: Mapping[str, str] | None = None, open_files: int | None = None
) -> Iterator[dict[str, Program]]:
    """The three servers over a temporary database, each with an empty address to bind.

    Args:
        folder: their working directory; their logs are written here.
        variables: further environment variables.
        open_files: limit of open files of each server, as `ulimit -n` sets it.
    """

    def set_limit() -> None:
        if open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    ports = {name: free_port() for name in PREFIXES}
    settings = {f"{prefix}_PORT": str(ports[name]) for name, prefix in PREFIXES.items()}
    settings |= {f"{prefix}_HOST": "" for prefix in PREFIXES.values()}
    settings |= {"AUTOINTERP_API_KEY": "sk-the-server's", "MODEL_ID": str(folder / "none")}
    with temporary() as url:
        processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name in PREFIXES:
                with (folder / f"{name}.log").open("wb") as log:
                    processes[name] = subprocess.Popen(
                        [sys.executable, "-m", f"memicos_{name}"],
                        cwd=folder,
                        env=environment() | settings | {"DATABASE_URL": url} | dict(variables or {}),
                        stderr=log,
                        preexec_fn=set_limit,
                    )
            programs = {}
            for name, process in processes.items():
                # a connection that was idle may be closed by the server at the moment of the next request
                limits = httpx.Limits(max_keepalive_connections=0)
                client = httpx.Client(base_url=f"http://127.0.0.1:{ports[name]}", timeout=120, limits=limits)
                log_file = folder / f"{name}.log"
                wait_until_served(client, process, log_file)
                programs[name] = Program(name, psutil.Process(process.pid), ports[name], client, log_file)
            yield programs
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
            for process in processes.values():
                process.wait(60)


def wait_until_served(client: httpx.Client, process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    """Wait until a server answers. Raises AssertionError, with its log, where it ends or takes too long."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            client.get("/health")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log_file.read_text(encoding='utf-8', errors='replace')}")
