"""The demo's supervisor over small programs: what is left when it is killed, and what is said after a restart."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from memicos_testing.demo_program import ROOT
from memicos_testing.processes import running_processes

SUPERVISOR = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from supervisor import Console, Program, Supervisor, run_until_stopped

async def work():
    async def announce():
        await asyncio.sleep(0.2)
        console.say("demo", "ready")

    names = sys.argv[2:]
    programs = [Program(name, [sys.executable, "-c", name], dict(os.environ)) for name in names]
    await supervisor.finish(Program("first", [sys.executable, "-c", "print('done')"], dict(os.environ)))
    async with asyncio.TaskGroup() as group:
        for program in programs:
            group.create_task(supervisor.keep(program, announce))

console = Console(4)
supervisor = Supervisor(console, Path("/"))
sys.exit(asyncio.run(run_until_stopped(supervisor, work)))
"""

WITH_CHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(600)"])
time.sleep(600)
"""
"""A program with a process of its own, as the server that a reload starts."""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


@contextmanager
def supervisor(*programs: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(ROOT / "demo"), *map(textwrap.dedent, programs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def wait_for(process: "subprocess.Popen[str]", ending: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.rstrip().endswith(ending):
            return
    raise AssertionError(f"no line that ends with {ending}")


@pytest.fixture
def short_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the demo's programs that kills after a second."""
    folder = tmp_path / "demo"
    folder.mkdir()
    for name in ("supervisor.py", "watchdog.py"):
        text = (ROOT / "demo" / name).read_text()
        assert text.count("GRACE_SECONDS = 10\n") == 1
        (folder / name).write_text(text.replace("GRACE_SECONDS = 10\n", "GRACE_SECONDS = 1\n"))
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    return folder


def test_programs_of_a_killed_supervisor_end_with_their_own_processes() -> None:
    with supervisor(WITH_CHILD) as process:
        wait_for(process, "child")
        family = psutil.Process(process.pid).children(recursive=True)
        # the program, its own process, and the watchdog
        assert len(family) == 3
        process.kill()
        begin = time.monotonic()
        assert running_processes(family) == []
        assert time.monotonic() - begin < 5


def test_a_program_that_ignores_the_signal_is_killed(short_grace: Path) -> None:
    with supervisor(DEAF) as process:
        wait_for(process, "deaf")
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 2
        process.kill()
        assert running_processes(family) == []


def test_a_supervisor_in_order_ends_its_guard_too() -> None:
    with supervisor("import time; print('runs', flush=True); time.sleep(600)") as process:
        wait_for(process, "runs")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert running_processes(family, seconds=1) == []


def test_a_second_ctrl_c_kills_what_is_left_and_more_of_them_change_nothing() -> None:
    with supervisor(DEAF) as process:
        wait_for(process, "deaf")
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        wait_for(process, "stopping")
        for _ in range(20):
            process.send_signal(signal.SIGINT)
        # less than the time that a program has to end
        assert process.wait(30) == 0 and time.monotonic() - begin < 8
        assert process.stdout is not None and process.stderr is not None
        assert "does not end by itself: killed" in process.stdout.read() and process.stderr.read() == ""


def test_it_runs_on_without_its_guard() -> None:
    with supervisor("import time; print('runs', flush=True); time.sleep(600)") as process:
        wait_for(process, "runs")
        (watchdog,) = [
            p for p in psutil.Process(process.pid).children() if any("watchdog.py" in a for a in p.cmdline())
        ]
        (program,) = [p for p in psutil.Process(process.pid).children() if p != watchdog]
        watchdog.kill()
        program.kill()
        # the program is started again
        wait_for(process, "runs")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_ready_is_said_again_after_a_restart() -> None:
    with supervisor("import time; print('runs', flush=True); time.sleep(600)") as process:
        wait_for(process, "ready")
        (program,) = [p for p in psutil.Process(process.pid).children() if "-I" not in p.cmdline()]
        os.kill(program.pid, signal.SIGKILL)
        wait_for(process, "it is restarted")
        wait_for(process, "ready")
