"""The demo after SIGKILL of its supervisor: what is left, and whether it starts again."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from memicos_testing.demo_program import ROOT, data_folder, environment
from memicos_testing.processes import running_processes

pytestmark = pytest.mark.slow

PROGRAMS = {"memicos_webapp", "memicos_webapp.worker", "memicos_inference", "memicos_autointerp"}
START_SECONDS, END_SECONDS = 600, 120
"""How long a start, and the end of all programs and PostgreSQL after that of their supervisor, may take at most, on a
machine that other programs use: they took 10 and 2."""


def started(variables: dict[str, str]) -> tuple["subprocess.Popen[str]", list[str]]:
    """The demo once inference is ready, and its lines, which grow."""
    process = subprocess.Popen(
        [sys.executable, "demo/run.py"],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    stream, lines = process.stdout, list[str]()
    assert stream is not None
    threading.Thread(target=lambda: lines.extend(stream), daemon=True).start()
    end = time.monotonic() + START_SECONDS
    while not any("inference is ready" in line for line in lines):
        assert process.poll() is None and time.monotonic() < end, "".join(lines)
        time.sleep(0.1)
    return process, lines


def until_all_run(process: "subprocess.Popen[str]", server: psutil.Process) -> list[psutil.Process]:
    """Wait for every program of the demo, and return their processes and those of PostgreSQL."""
    end = time.monotonic() + START_SECONDS
    while True:
        family = [*psutil.Process(process.pid).children(recursive=True), *server.children(), server]
        names = set[str]()
        for member in family:
            # one that ends meanwhile
            with suppress(psutil.NoSuchProcess):
                names |= {word for word in member.cmdline() if word.startswith("memicos_")}
        if names == PROGRAMS:
            return family
        assert time.monotonic() < end, names
        time.sleep(0.1)


def listens(port: str) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", int(port))) == 0


def test_nothing_is_left_of_a_killed_demo_and_it_starts_again(model_folder: Path) -> None:
    with data_folder() as data:
        models = data / "models"
        models.symlink_to(model_folder.parent, target_is_directory=True)
        variables = environment(data)
        ports = [variables[f"{prefix}_PORT"] for prefix in ("MEMICOS", "INFERENCE", "AUTOINTERP")]
        process, _ = started(variables)
        server = psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
        family = until_all_run(process, server)
        assert all(listens(port) for port in ports)
        process.kill()
        assert running_processes(family, seconds=END_SECONDS) == []
        assert not any(listens(port) for port in ports)
        log = data / "postgres" / "log"
        assert "database system is shut down" in log.read_text()
        process, lines = started(variables)
        # the data is there, and PostgreSQL had nothing to recover
        assert "was not properly shut down" not in log.read_text()
        assert any("pages are served" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(END_SECONDS) == 0


def test_the_embedded_postgresql_of_a_killed_webapp_stops() -> None:
    with data_folder() as data:
        variables = environment(data)
        process = subprocess.Popen([sys.executable, "-m", "memicos_webapp"], cwd=data, env=variables)
        end = time.monotonic() + START_SECONDS
        while not listens(variables["MEMICOS_PORT"]):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        server = psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert running_processes([server], seconds=END_SECONDS) == []
        assert "database system is shut down" in (data / "postgres" / "log").read_text()
