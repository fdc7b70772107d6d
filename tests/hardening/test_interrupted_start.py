"""Ctrl-C while a start waits for another process that starts or stops the same embedded PostgreSQL."""

import fcntl
import signal
import subprocess
import sys

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
