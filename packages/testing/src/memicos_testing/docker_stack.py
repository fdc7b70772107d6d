"""Stacks of deploy/docker on a real engine, in a compose project and on ports of their own."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from memicos_testing.servers import free_port

ROOT = Path(__file__).parents[4]
DOCKER = ROOT / "deploy/docker"
PROJECT = "memicos-test"
TAG = re.findall(r"MEMICOS_VERSION:-([^}]+)}", (DOCKER / "services.yaml").read_text())[0]
"""Tag of the images; `make release` sets it."""
BUILD_SECONDS = 3600
"""Longest build of the images."""
STATE_SECONDS = 300
"""Longest wait for a state: far longer than it takes, as other programs may use the processors too."""
COMMAND_SECONDS = 600
"""Longest run of a docker command that builds nothing."""
SUMMARY: list[str] = []
"""Lines that are printed when all tests have run."""


def measure(name: str, value: str) -> None:
    SUMMARY.append(f"{name:<58} {value}")


def run(*command: str, seconds: float = COMMAND_SECONDS, **environment: str) -> subprocess.CompletedProcess[str]:
    """A finished command, whatever its exit status."""
    variables = {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=variables, timeout=seconds
    )


def output(*command: str, seconds: float = COMMAND_SECONDS, **environment: str) -> str:
    """What a command wrote; it must succeed."""
    process = run(*command, seconds=seconds, **environment)
    assert process.returncode == 0, f"{command}: {process.stdout[-2000:]}{process.stderr[-4000:]}"
    return process.stdout


def eventually(check: Callable[[], Any], seconds: float = STATE_SECONDS, interval: float = 0.5) -> Any:
    """What `check` gives as soon as it is true; a failed request counts as not yet."""
    end, last = time.monotonic() + seconds, "nothing"
    while time.monotonic() < end:
        try:
            if value := check():
                return value
        except httpx.HTTPError as error:
            last = repr(error)
        time.sleep(interval)
    raise AssertionError(f"not within {seconds} s; last error: {last}")


def env_value(name: str) -> str:
    """A value of the stacks' env file."""
    lines = (DOCKER / ".env").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))


@dataclass
class Stack:
    """A stack as the make commands run it, in a project and on a port of its own."""

    name: str
    files: tuple[str, ...]
    project: str = PROJECT
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        return {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_HTTP_TIMEOUT": str(COMMAND_SECONDS),
            "MEMICOS_PORT": str(self.port),
            "INFERENCE_PORT": str(self.port),
            "AUTOINTERP_PORT": str(self.port),
            **self.environment,
        }

    def make(self, target: str, seconds: float = BUILD_SECONDS) -> subprocess.CompletedProcess[str]:
        return run("make", target, seconds=seconds, **self.variables)

    def program(self, *arguments: str, seconds: float = BUILD_SECONDS) -> subprocess.CompletedProcess[str]:
        """stack.py, as the make commands call it."""
        command = [sys.executable, str(DOCKER / "stack.py"), *arguments]
        return run(*command, seconds=seconds, **self.variables)

    def compose_command(self, *arguments: str) -> list[str]:
        files = [part for file in self.files for part in ("-f", str(DOCKER / file))]
        env_file = self.environment.get("TEST_ENV_FILE", str(DOCKER / ".env"))
        return ["docker-compose", "-p", self.project, "--env-file", env_file, *files, *arguments]

    def compose(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        return output(*self.compose_command(*arguments), seconds=seconds, **self.variables)

    def container(self, service: str) -> dict[str, Any]:
        """docker's description of a service's container."""
        (identifier,) = self.compose("ps", "-q", service).split()
        return json.loads(output("docker", "inspect", identifier))[0]

    def gateway(self) -> str:
        """The address of this machine in the default network of the project."""
        networks = json.loads(output("docker", "network", "inspect", f"{self.project}_default"))
        return networks[0]["IPAM"]["Config"][0]["Gateway"]

    def address(self, service: str) -> str:
        """The address of a service's container in the default network of the project."""
        return self.container(service)["NetworkSettings"]["Networks"][f"{self.project}_default"]["IPAddress"]

    def sql(self, statement: str) -> str:
        """A statement's rows, in the database's container: a line each, fields separated by `|`."""
        psql = ("psql", "-h", "127.0.0.1", "-U", "memicos", "-d", "memicos", "-v", "ON_ERROR_STOP=1", "-Atc", statement)
        password = f"PGPASSWORD={env_value('POSTGRES_PASSWORD')}"
        return output("docker", "exec", "-e", password, self.container("database")["Id"], *psql).strip()

    def logs(self, service: str) -> str:
        process = run("docker", "logs", self.container(service)["Id"])
        return process.stdout + process.stderr

    def remove(self) -> None:
        """Delete containers, networks and volumes of the project."""
        filters = ("--filter", f"label=com.docker.compose.project={self.project}")
        for identifier in output("docker", "ps", "-aq", *filters).split():
            run("docker", "rm", "-f", identifier)
        for kind in ("volume", "network"):
            for identifier in output("docker", kind, "ls", "-q", *filters).split():
                run("docker", kind, "rm", identifier)
