"""Ctrl-C and SIGTERM while a program imports its modules; Ctrl-C while a start waits for another process that starts or
stops the same embedded PostgreSQL."""

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from memicos_testing.demo_program import ROOT, data_folder, environment

pytestmark = pytest.mark.slow

PROGRAMS = {"demo": ["demo/run.py", "--no-model"], "webapp": ["-m", "memicos_webapp"]}


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("background", [False, True], ids=["", "in the background of a script"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_ends_a_start_that_waits_for_another(program: str, background: bool) -> None:
    """A shell without job control sets SIGINT to be ignored in programs that it starts with `&`."""
    with data_folder() as data, (data / "postgres.start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, *PROGRAMS[program]],
            cwd=ROOT,
            env=environment(data) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=ignore_interrupts if background else None,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "waiting for another process that starts or stops the embedded PostgreSQL" in line:
                    break
            else:
                raise AssertionError("it ended without waiting")
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, output
        assert "Traceback" not in output


SERVERS = {"webapp": "memicos_webapp", "worker": "memicos_webapp.worker", "inference": "memicos_inference",
           "autointerp": "memicos_autointerp"}  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", SERVERS)
def test_a_signal_during_imports_is_one_line(program: str, number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        # writes a line for each module that was imported
        [sys.executable, "-X", "importtime", "-m", SERVERS[program]],
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        # fastapi, sqlalchemy and others follow
        for line in process.stderr:
            if line.split()[-1] == "pydantic":
                break
        process.send_signal(number)
        _, rest = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    own = [line for line in rest.splitlines() if not line.startswith("import time:")]
    assert own == [f"{program}: stopped while it started"]
    assert process.returncode == 0
