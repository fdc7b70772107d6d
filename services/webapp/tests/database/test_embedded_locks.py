"""Locks of the embedded PostgreSQL: who can hold them, and waits for them."""

import fcntl
import signal
import subprocess
import sys

import pytest
from memicos_testing.webapp.embedded_database import Folder, started
from memicos_webapp.database.embedded.users import User

LOCK_PROGRAM = """
import fcntl, os, sys
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
fcntl.flock(os.open(sys.argv[2], os.O_RDONLY), fcntl.LOCK_EX)
"""


@pytest.mark.parametrize("name", ["start", "users"])
def test_another_user_of_the_machine_cannot_hold_a_lock(folder: Folder, other_users: list[User], name: str) -> None:
    """With it, the owner's next start, or the end of the server, would wait for them."""
    owner, other = other_users
    data = folder.of(owner)
    data.chmod(0o755)
    lock = data / f"postgres.{name}.lock"
    lock.touch(0o644)  # as older versions made it
    owner.own(lock)
    with started(owner, data, folder.programs):
        command = [sys.executable, "-c", LOCK_PROGRAM, str(other.uid), str(lock)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0 and "Permission denied" in done.stderr


def test_a_wait_for_another_start_is_logged_and_ends_with_ctrl_c(folder: Folder) -> None:
    data = folder.path / "data"
    data.mkdir()
    program = f"""
import logging
from pathlib import Path
from memicos_webapp.database import embedded
logging.basicConfig()
embedded.LOCK_LOG_SECONDS = 0.1
with embedded.embedded(Path({str(data / "postgres")!r})):
    pass
"""
    with (data / "postgres.start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "waiting for another process that starts or stops the embedded PostgreSQL" in line
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
