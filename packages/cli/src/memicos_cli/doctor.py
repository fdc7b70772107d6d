"""`make doctor`: what this machine lacks for memicos, a line for each check, with the command that fixes it.

Standard library only: it runs before anything is installed. The exit status is 1 if anything that memicos needs is
wrong; optional parts (docker, a GPU, keys, the hub) are reported and do not change it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from memicos_cli import env_file, service_links, stack_env

OLDEST_PYTHON = (3, 11)
SERVERS = (("MEMICOS", 3000, "webapp"), ("INFERENCE", 5002, "inference"), ("AUTOINTERP", 5003, "autointerp"))
DISK_SETTING, DEFAULT_DISK_GB = "DOCTOR_DISK_GB", 8.0
"""Free disk space that .venv, the demo's model and its database need."""
MEMORY_SETTING, DEFAULT_MEMORY_GB = "DOCTOR_MEMORY_GB", 3.0
"""Free memory that the demo needs."""
HUB_URL = "https://huggingface.co"
MIGRATIONS = "services/webapp/src/memicos_webapp/database/migrations/versions"
"""Folder of the migrations: `<revision>_<subject>.py`."""
COMMAND_SECONDS = 20
OK, NOTE, WRONG = "ok", "note", "WRONG"
DATABASE_PROGRAM = """
import asyncio, os, sys, asyncpg
async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"].replace("+asyncpg", ""), timeout=10)
    version = await connection.fetchval("SHOW server_version_num")
    vector = await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
    migrated = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    revision = await connection.fetchval("SELECT version_num FROM alembic_version") if migrated else None
    print(version, vector, revision or "none")
try:
    asyncio.run(main())
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class Result(NamedTuple):
    state: str
    subject: str
    text: str
    """The state found, or what is wrong and the command that fixes it."""


class Machine(NamedTuple):
    """What the checks read: the repository and the environment."""

    root: Path
    """Folder of the repository."""
    environment: Mapping[str, str]


def check_python(machine: Machine, version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Result:
    text = ".".join(map(str, version))
    if tuple(version[:2]) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        fix = f"install {oldest} or newer (https://www.python.org/downloads), then make setup PYTHON=python{oldest}"
        return Result(WRONG, "Python", f"{text} is too old: {fix}")
    return Result(OK, "Python", text)


def check_installed(machine: Machine) -> Result:
    mark, lock = machine.root / ".venv/.ok", machine.root / "requirements.lock"
    if not mark.exists():
        return Result(NOTE, "versions", "nothing is installed in .venv yet: make setup (make demo does it too)")
    if lock.exists() and mark.stat().st_mtime < lock.stat().st_mtime:
        return Result(WRONG, "versions", ".venv is older than requirements.lock: make setup")
    return Result(OK, "versions", ".venv is as requirements.lock says")


def check_disk(machine: Machine) -> Result:
    needed = _number(machine.environment, DISK_SETTING, DEFAULT_DISK_GB)
    free = shutil.disk_usage(str(machine.root)).free / 1e9
    if free < needed:
        fix = "free space there, or put the repository on another disk"
        return Result(WRONG, "disk", f"{free:.1f} GB are free at {machine.root}, {needed:g} GB are needed: {fix}")
    return Result(OK, "disk", f"{free:.1f} GB are free")


def check_data(machine: Machine) -> Result:
    folder = machine.root / (machine.environment.get("MEMICOS_DATA") or ".data")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=str(existing)):
            pass
    except OSError as error:
        fix = f"sudo chown -R $USER {existing}, or set MEMICOS_DATA to another folder"
        return Result(WRONG, "data", f"{folder} cannot be written ({error.strerror}): {fix}")
    return Result(OK, "data", f"{folder} can be written")


def check_memory(machine: Machine) -> Result:
    needed = _number(machine.environment, MEMORY_SETTING, DEFAULT_MEMORY_GB)
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return Result(NOTE, "memory", f"cannot be read on this system; the demo needs {needed:g} GB")
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    free = int(match.group(1)) / 1e6 if match else 0.0
    if free < needed:
        fix = "end other programs, or use a smaller model (make inference-list-configs)"
        return Result(WRONG, "memory", f"{free:.1f} GB are free, {needed:g} GB are needed: {fix}")
    return Result(OK, "memory", f"{free:.1f} GB are free")


def check_port(machine: Machine, prefix: str, default: int, server: str) -> Result:
    name = f"{prefix}_PORT"
    text = machine.environment.get(name) or str(default)
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65535:
        return Result(WRONG, "ports", f"{name}={text} is not a port: set it to a number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            fix = f"end the program that has it (a running {server}?), or set {name}={int(text) + 10}"
            return Result(WRONG, "ports", f"{server} cannot listen on port {text} ({error.strerror}): {fix}")
    return Result(OK, "ports", f"{text} is free for {server}")


def check_stack_file(machine: Machine) -> Result:
    file = machine.root / "deploy/docker/.env"
    if not file.exists():
        return Result(NOTE, "env file", "the docker stack has no secrets yet: make init-env")
    reason = stack_env.refusal(file)
    return Result(WRONG, "env file", reason) if reason else Result(OK, "env file", f"{file} is complete")


def check_docker(machine: Machine) -> Result:
    if shutil.which("docker", path=machine.environment.get("PATH")) is None:
        return Result(
            NOTE, "docker", "not installed; only the commands in docker need it: https://docs.docker.com/engine/install"
        )
    if _run(machine, "docker", "info") is None:
        return Result(NOTE, "docker", "the engine is not running: sudo systemctl start docker, or start Docker Desktop")
    if _run(machine, "docker", "compose", "version") is None and _run(machine, "docker-compose", "version") is None:
        return Result(NOTE, "docker", "compose is not installed: https://docs.docker.com/compose/install")
    return Result(OK, "docker", "engine and compose answer")


def check_database(machine: Machine) -> Result:
    url = machine.environment.get("DATABASE_URL")
    if not url:
        return Result(OK, "database", "DATABASE_URL is not set: the embedded PostgreSQL with pgvector is used")
    python = sys.executable if importlib.util.find_spec("asyncpg") else str(machine.root / ".venv/bin/python")
    try:
        process = subprocess.run(
            [python, "-c", DATABASE_PROGRAM],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
            env=dict(machine.environment),
        )
    except (OSError, subprocess.TimeoutExpired):
        return Result(WRONG, "database", "DATABASE_URL cannot be tried: make setup, then make doctor again")
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["unknown"]
        # the driver's message may repeat the URL
        reason = lines[-1].replace(url, "DATABASE_URL")
        if "password" in reason.lower() or "InvalidAuthorization" in reason:
            return Result(
                WRONG, "database", "PostgreSQL refuses the user or password of DATABASE_URL: correct them there"
            )
        text = f"PostgreSQL does not answer at DATABASE_URL ({reason}): start it, or correct the URL"
        return Result(WRONG, "database", text)
    numbers, revision = process.stdout.split()[:2], process.stdout.split()[2]
    version, vector = map(int, numbers)
    if version < 160000:
        return Result(WRONG, "database", f"PostgreSQL {version // 10000} is too old: install 16 or newer")
    if not vector:
        major = version // 10000
        fix = f"sudo apt-get install postgresql-{major}-pgvector, or use the image pgvector/pgvector:pg{major}"
        return Result(WRONG, "pgvector", f"PostgreSQL at DATABASE_URL has no extension vector: {fix}")
    revisions = sorted(file.name.partition("_")[0] for file in (machine.root / MIGRATIONS).glob("[0-9]*.py"))
    if revisions and revision != "none" and revision not in revisions:
        fix = "git pull && make setup, or restore a backup from before into another database"
        text = (
            f"the database was migrated by a newer memicos (revision {revision}, this one knows up to {revisions[-1]})"
        )
        return Result(WRONG, "database", f"{text}: {fix}")
    return Result(OK, "database", f"PostgreSQL {version // 10000} with pgvector answers")


def check_keys(machine: Machine) -> Result:
    missing = [name for name in stack_env.USER_KEYS if not machine.environment.get(name)]
    if missing:
        return Result(NOTE, "keys", f"not set: {', '.join(missing)} (docs/configuration.md says what each is for)")
    return Result(OK, "keys", "all are set")


def check_gpu(machine: Machine) -> Result:
    names = _run(machine, "nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    if not names:
        return Result(NOTE, "GPU", "no NVIDIA GPU answers; models run on the CPU")
    return Result(OK, "GPU", names.splitlines()[0])


def check_hub(machine: Machine) -> Result:
    url = machine.environment.get("HF_ENDPOINT") or HUB_URL
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5):
            return Result(OK, "hub", f"{url} answers; no download was tried")
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            return Result(NOTE, "hub", f"{url} answers with status {error.code}: try again later")
        return Result(OK, "hub", f"{url} answers; no download was tried")
    except (OSError, ValueError):
        return Result(NOTE, "hub", f"{url} cannot be reached; the demo needs no hub, other models do")


CHECKS: tuple[Callable[[Machine], Result], ...] = (
    check_python,
    check_installed,
    check_disk,
    check_data,
    check_memory,
    *((lambda machine, server=server: check_port(machine, *server)) for server in SERVERS),
    check_database,
    check_stack_file,
    check_docker,
    check_keys,
    check_gpu,
    check_hub,
)


def read_environment(root: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], Result | None]:
    """The environment over the repository's .env file, and what is wrong with that file."""
    file = root / ".env"
    environment = service_links.without(environment)
    if not file.exists():
        return dict(environment), None
    try:
        values = {item.name: item.value for item in env_file.parse(file.read_text(encoding="utf-8"))}
    except (OSError, UnicodeDecodeError) as error:
        return dict(environment), Result(
            WRONG, "env file", f"{file} cannot be read ({type(error).__name__}): correct it"
        )
    except env_file.EnvFileError as error:
        return dict(environment), Result(WRONG, "env file", f"{file}: {error}: complete the line, or delete it")
    return {**values, **environment}, None


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(environment.get(name) or default)
    except ValueError:
        return default


def _run(machine: Machine, *command: str) -> str | None:
    """Output of a command; None where it fails or does not exist."""
    program = shutil.which(command[0], path=machine.environment.get("PATH"))
    if program is None:
        return None
    try:
        process = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() or "ok" if process.returncode == 0 else None


def doctor() -> None:
    """Say what this machine lacks for memicos, and the command that fixes it."""
    raise SystemExit(run(Path.cwd(), os.environ))


def run(root: Path, environment: Mapping[str, str]) -> int:
    """Print a line for each check; 1 if anything that is needed is wrong."""
    merged, problem = read_environment(root, environment)
    machine = Machine(root, merged)
    failures = 0
    if warning := service_links.warning(environment):
        print(f"{NOTE:<6}{'ports':<10}{warning}")
    if problem:
        print(f"{problem.state:<6}{problem.subject:<10}{problem.text}")
        failures += 1
    for check in CHECKS:
        result = check(machine)
        print(f"{result.state:<6}{result.subject:<10}{result.text}", flush=True)
        failures += result.state == WRONG
    print(f"{failures} wrong: the lines that begin with {WRONG} say how to fix it" if failures else "nothing is wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    doctor()
