"""Stops the embedded PostgreSQL when the process that uses it is killed, and no other process uses it.

`python watchdog.py FOLDER START_LOCK USERS_LOCK SOCKET_PREFIX`: FOLDER is the data folder, the locks are those of the
package's `__init__.py`, SOCKET_PREFIX begins the names of a socket's own folders. Standard input is a pipe from the
process, which the operating system closes when the process ends, SIGKILL included; a line in it says that the process
has stopped the server itself. Only the standard library is imported, so that the program starts in milliseconds.
"""

import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.05
START_SECONDS = 10
"""How long a server that the killed process had just started may take to write its file, and the system to close the
files of the killed process, one of which is this program's pipe."""
STOP_SECONDS = 60
"""How long the server may take to end its sessions and write its data before it is told to stop at once."""
SOCKET_NAME = ".s.PGSQL.5432"
PROCESSES = Path("/proc/self/cwd")
"""There where the system tells the working directory of a process, which of the server is the data folder."""


def find_running(folder: Path) -> tuple[int, Path | None] | None:
    """Process id of the server that runs on the data folder, and its socket's folder where the server has named it.

    None: there is none, or none yet. A file that a killed server left behind may have the id of another process: its
    working directory tells them apart, or where the system does not tell it, a connection.
    """
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
        os.kill(pid, 0)
        # "." is the data folder; counted from the end, because a folder's name may have line breaks
        socket_folder = folder / lines[-4] if len(lines) >= 8 else None
        if PROCESSES.exists():
            return (pid, socket_folder) if Path(f"/proc/{pid}/cwd").samefile(folder) else None
        if socket_folder is None:
            return None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(socket_folder / SOCKET_NAME))
        return pid, socket_folder
    except (OSError, IndexError, ValueError):
        return None


def stop(folder: Path, pid: int) -> None:
    """Tell the server to stop in order, and wait for it."""
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
        # the server deletes the file as its last act; one that had just begun ends without
        while (folder / "postmaster.pid").exists():
            time.sleep(POLL_SECONDS)
            os.kill(pid, signal.SIGQUIT if time.monotonic() > deadline else 0)


def stop_unused(folder: Path, start_lock: IO[str], users_lock: IO[str], socket_prefix: str) -> bool:
    """Stop the server where no process uses it; return whether one was found."""
    fcntl.flock(start_lock, fcntl.LOCK_EX)
    try:
        fcntl.flock(users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        running = find_running(folder)
        if running is None:
            return False
        pid, socket_folder = running
        stop(folder, pid)
        if socket_folder is not None and socket_folder.name.startswith(socket_prefix):
            shutil.rmtree(socket_folder, ignore_errors=True)
        return True
    except BlockingIOError:
        # another process uses the server, or the system has not yet closed the files of the killed one
        return False
    finally:
        fcntl.flock(users_lock, fcntl.LOCK_UN)
        fcntl.flock(start_lock, fcntl.LOCK_UN)


def main() -> None:
    folder, start_lock, users_lock = map(Path, sys.argv[1:4])
    if sys.stdin.read():
        return
    deadline = time.monotonic() + START_SECONDS
    # the folders may have been deleted, as those of tests are
    with suppress(FileNotFoundError), start_lock.open("r+") as start, users_lock.open("r+") as users:
        # a link, where root started the server; it may have been made after this program's start
        while not stop_unused(folder.resolve(), start, users, sys.argv[4]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
