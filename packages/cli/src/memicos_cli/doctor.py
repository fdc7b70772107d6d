"""`make doctor`: what this machine lacks for memicos, a line for each check, with the command that fixes it.

Standard library only: it runs before anything is installed. The exit status is 1 if anything is missing or wrong. What
a user does not want (docker, the hub, a GPU) is left out by `--without`; keys that are not set, and files that another
command makes, are notes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from memicos_cli import compose_version, env_file, service_links, stack_env

OLDEST_PYTHON = (3, 11)
SERVERS = (("MEMICOS", 3000, "webapp"), ("INFERENCE", 5002, "inference"), ("AUTOINTERP", 5003, "autointerp"))
DISK_SETTING, DEFAULT_DISK_GB = "DOCTOR_DISK_GB", 8.0
"""Free disk space that .venv, the demo's model and its database need."""
MEMORY_SETTING, DEFAULT_MEMORY_GB = "DOCTOR_MEMORY_GB", 3.0
"""Free memory that the demo needs."""
HUB_URL = "https://huggingface.co"
KNOWN_NAMES = "packages/service_kit/src/memicos_service/known_variables.txt"
"""The variables that memicos reads, one per line."""
COMMAND_SECONDS = 20
OK, NOTE, WRONG = "ok", "note", "WRONG"
DATABASE_PROGRAM = ("-m", "memicos_webapp.database.probe")
"""Arguments of Python for the program that tries the database."""
INSTALLED = ("webapp", "inference", "autointerp")
"""Services that may be installed alone, each marked by the file `.venv/.<service>`."""


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
    lock = machine.root / "requirements.lock"
    marks = {".ok": "make setup", **{f".{name}": f"make {name}-localhost-install" for name in INSTALLED}}
    present = {mark: command for mark, command in marks.items() if (machine.root / ".venv" / mark).exists()}
    if not present:
        return Result(NOTE, "versions", "nothing is installed in .venv yet: make setup (make demo does it too)")
    if ".ok" in present:
        present = {".ok": present[".ok"]}
    for mark, command in present.items():
        if lock.exists() and (machine.root / ".venv" / mark).stat().st_mtime < lock.stat().st_mtime:
            return Result(WRONG, "versions", f".venv is older than requirements.lock: {command}")
    if ".ok" not in present:
        names = " and ".join(mark[1:] for mark in present)
        return Result(OK, "versions", f"only {names} is installed in .venv; make setup installs everything")
    return Result(OK, "versions", ".venv is as requirements.lock says")


def check_disk(machine: Machine) -> Result:
    needed = _number(machine.environment, DISK_SETTING, DEFAULT_DISK_GB)
    if needed is None:
        return Result(WRONG, "disk", f"{DISK_SETTING} is not a number: set it to gigabytes, or unset it")
    free = shutil.disk_usage(str(machine.root)).free / 1e9
    if free < needed:
        fix = "free space there, or put the repository on another disk"
        return Result(WRONG, "disk", f"{free:.1f} GB are free at {machine.root}, {needed:g} GB are needed: {fix}")
    return Result(OK, "disk", f"{free:.1f} GB are free")


def check_data(machine: Machine) -> Result:
    folder = machine.root / (machine.environment.get("MEMICOS_DATA") or ".data")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        fix = f"rm {existing}, or set MEMICOS_DATA to another folder"
        return Result(WRONG, "data", f"{folder} cannot be a folder, because {existing} is a file: {fix}")
    try:
        with tempfile.TemporaryFile(dir=str(existing)):
            pass
    except OSError as error:
        fix = f"sudo chown -R $USER {existing}, or set MEMICOS_DATA to another folder"
        return Result(WRONG, "data", f"{folder} cannot be written ({error.strerror}): {fix}")
    return Result(OK, "data", f"{folder} can be written")


def check_memory(machine: Machine) -> Result:
    needed = _number(machine.environment, MEMORY_SETTING, DEFAULT_MEMORY_GB)
    if needed is None:
        return Result(WRONG, "memory", f"{MEMORY_SETTING} is not a number: set it to gigabytes, or unset it")
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return Result(NOTE, "memory", f"cannot be read on this system; the demo needs {needed:g} GB")
    match = re.search(r"^MemAvailable:\s+([0-9]+) kB", text, re.MULTILINE)
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
        return Result(WRONG, "docker", "not installed: https://docs.docker.com/engine/install has it")
    info = _process(machine, "docker", "info")
    if info and info.returncode and "permission denied" in info.stderr:
        return Result(WRONG, "docker", "this user may not use it: sudo usermod -aG docker $USER, then sign in again")
    if info is None or info.returncode:
        return Result(
            WRONG, "docker", "the engine is not running: sudo systemctl start docker, or start Docker Desktop"
        )
    if _run(machine, "docker", "compose", "version") is None:
        if shutil.which("docker-compose", path=machine.environment.get("PATH")) is None:
            return Result(WRONG, "docker", "compose is not installed: https://docs.docker.com/compose/install")
        version = _run(machine, "docker-compose", "version", "--short")
        if reason := compose_version.refusal(version or ""):
            return Result(WRONG, "docker", reason)
    return Result(OK, "docker", "engine and compose answer")


def check_database(machine: Machine) -> Result:
    url = machine.environment.get("DATABASE_URL")
    if not url:
        return Result(OK, "database", "DATABASE_URL is not set: the embedded PostgreSQL with pgvector is used")
    python = sys.executable if importlib.util.find_spec("memicos_webapp") else str(machine.root / ".venv/bin/python")
    install = "make setup, or make webapp-localhost-install; then make doctor again"
    try:
        process = subprocess.run(
            [python, *DATABASE_PROGRAM],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
            env=dict(machine.environment),
        )
    except OSError:
        return Result(WRONG, "database", f"DATABASE_URL cannot be tried before the webapp is installed: {install}")
    except subprocess.TimeoutExpired:
        text = f"PostgreSQL at DATABASE_URL does not answer within {COMMAND_SECONDS} s: start it, or correct the URL"
        return Result(WRONG, "database", text)
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no reason"]
        if "No module named" in lines[-1]:
            return Result(WRONG, "database", f"DATABASE_URL cannot be tried, as the webapp is not installed: {install}")
        # a message may repeat the URL
        return Result(WRONG, "database", f"DATABASE_URL cannot be tried ({lines[-1].replace(url, 'DATABASE_URL')})")
    report = json.loads(process.stdout)
    return Result(OK if report["ok"] else WRONG, report["subject"], report["text"])


def check_keys(machine: Machine) -> Result:
    missing = [name for name in stack_env.USER_KEYS if not machine.environment.get(name)]
    if missing:
        return Result(
            NOTE, "keys", f"optional, not set: {', '.join(missing)} (docs/configuration.md: what each is for)"
        )
    return Result(OK, "keys", "all are set")


def check_gpu(machine: Machine) -> Result:
    if shutil.which("nvidia-smi", path=machine.environment.get("PATH")) is None:
        return Result(NOTE, "GPU", "no driver of an NVIDIA GPU is installed; models run on the CPU")
    names = _run(machine, "nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    if not names:
        fix = "restart the machine, or install the driver again (https://www.nvidia.com/drivers)"
        return Result(WRONG, "GPU", f"a driver is installed, and nvidia-smi finds no GPU: {fix}")
    return Result(OK, "GPU", names.splitlines()[0])


def check_hub(machine: Machine) -> Result:
    if machine.environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Result(OK, "hub", "HF_HUB_OFFLINE is set: only models that were downloaded before are used")
    url = machine.environment.get("HF_ENDPOINT") or HUB_URL
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5):
            return Result(OK, "hub", f"{url} answers; no download was tried")
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            return Result(WRONG, "hub", f"{url} answers with status {error.code}: try again later")
        return Result(OK, "hub", f"{url} answers; no download was tried")
    except (OSError, ValueError):
        fix = "correct network or HTTPS_PROXY, or set HF_ENDPOINT to a mirror; the demo needs no hub, other models do"
        return Result(WRONG, "hub", f"{url} cannot be reached: {fix}")


CHECKS: tuple[Callable[[Machine], Result], ...] = (
    check_python,
    check_installed,
    check_disk,
    check_data,
    check_memory,
    *((lambda machine, server=server: check_port(machine, *server)) for server in SERVERS),
    check_database,
    check_stack_file,
    check_keys,
)

OPTIONAL: Mapping[str, Callable[[Machine], Result]] = {"docker": check_docker, "gpu": check_gpu, "hub": check_hub}
"""Checks that `--without` leaves out."""


def read_environment(root: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], list[Result]]:
    """The environment over the repository's .env file, and what is wrong with the names of both."""
    file = root / ".env"
    known = _known_names(root)
    results = []
    if text := service_links.warning(environment):
        results.append(Result(NOTE, "ports", text))
    if unknown := [stack_env.unknown_name(name, known) for name in sorted(environment) if _is_unknown(name, known)]:
        results.append(Result(NOTE, "settings", f"ignored in the environment: {'; '.join(unknown)}"))
    environment = service_links.without(environment)
    if not file.exists():
        return dict(environment), results
    try:
        assignments = env_file.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        text = f"{file} cannot be read ({type(error).__name__}): correct it"
        return dict(environment), [*results, Result(WRONG, "env file", text)]
    except env_file.EnvFileError as error:
        text = f"{file}: {error}: complete the line, or delete it"
        return dict(environment), [*results, Result(WRONG, "env file", text)]
    for item in assignments:
        if _is_unknown(item.name, known):
            text = (
                f"{file}: line {item.line}: {stack_env.unknown_name(item.name, known)}: correct it, or delete the line"
            )
            results.append(Result(WRONG, "env file", text))
    return {**{item.name: item.value for item in assignments}, **environment}, results


def _known_names(root: Path) -> set[str]:
    """The variables that memicos reads; empty where their list is not there."""
    file = root / KNOWN_NAMES
    return set(file.read_text(encoding="utf-8").split()) if file.exists() else set()


def _is_unknown(name: str, known: set[str]) -> bool:
    upper = name.upper()
    prefixed = upper.startswith(stack_env.PREFIXES) and not upper.startswith(stack_env.FAMILIES)
    return bool(known) and prefixed and upper not in known


def _number(environment: Mapping[str, str], name: str, default: float) -> float | None:
    """A setting that is a number; None where it is not."""
    try:
        number = float(environment.get(name) or default)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _run(machine: Machine, *command: str) -> str | None:
    """Output of a command; None where it fails or does not exist."""
    process = _process(machine, *command)
    return process.stdout.strip() or "ok" if process and process.returncode == 0 else None


def _process(machine: Machine, *command: str) -> subprocess.CompletedProcess[str] | None:
    """A command that has ended; None where it does not exist, cannot be run or takes too long."""
    program = shutil.which(command[0], path=machine.environment.get("PATH"))
    if program is None:
        return None
    try:
        return subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def doctor(without: list[str] | None = None) -> None:
    """Say what this machine lacks for memicos, and the command that fixes it. Exit status 1 if anything is wrong.

    `--without docker`, `gpu` or `hub` leaves that check out; several are separated by commas.
    """
    if hasattr(signal, "SIGPIPE"):
        # a reader that ends early, such as `head`, ends this program without a traceback
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    names = [name for text in without or () for name in re.split("[, ]+", text.lower()) if name]
    unknown = [name for name in names if name not in OPTIONAL]
    if unknown:
        print(f"doctor: cannot leave out {', '.join(unknown)}: name some of {', '.join(OPTIONAL)}", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(run(Path.cwd(), os.environ, names))


def run(root: Path, environment: Mapping[str, str], without: Collection[str] = ()) -> int:
    """Print a line for each check; 1 if anything is missing or wrong. `without` are names of OPTIONAL."""
    merged, results = read_environment(root, environment)
    machine = Machine(root, merged)
    checks = [*((lambda _, result=result: result) for result in results), *CHECKS]
    failures = 0
    optional_failures = []
    for name, check in [*(("", check) for check in checks), *OPTIONAL.items()]:
        result = Result(NOTE, name, "not checked, as --without says") if name in without else check(machine)
        print(f"{result.state:<6}{result.subject:<10}{result.text}", flush=True)
        failures += result.state == WRONG
        if result.state == WRONG and name:
            optional_failures.append(name)
    if optional_failures:
        names = ",".join(optional_failures)
        print(f"if you do not use {' or '.join(optional_failures)}: make doctor WITHOUT={names}")
    print(f"{failures} wrong: the lines that begin with {WRONG} say how to fix it" if failures else "nothing is wrong")
    return 1 if failures else 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="doctor", description="What this machine lacks for memicos.")
    parser.add_argument("--without", action="append", metavar="NAMES", help=f"leave out: {', '.join(OPTIONAL)}")
    doctor(parser.parse_args(arguments).without)


if __name__ == "__main__":
    main()
