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

POLL_SECONDS = 0.05
START_SECONDS = 10
"""How long a server that was started just before may take to accept connections."""
STOP_SECONDS = 60
"""How long the server may take to end its sessions and write its data before it is told to stop at once."""
EXIT_SECONDS = 10
"""How long the system may take to close the files of a killed process, one of which is this program's pipe."""
SOCKET_NAME = ".s.PGSQL.5432"


def find_running(folder: Path) -> tuple[int, Path] | None:
    """Process id and socket folder of the server that accepts connections on the data folder; None: there is none.

    A file that a killed server left behind may have the id of another process: a connection tells them apart.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            lines = (folder / "postmaster.pid").read_text().splitlines()
            os.kill(int(lines[0]), 0)
            if len(lines) >= 8:
                # "." is the data folder
                socket_folder = folder / lines[-4]
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(socket_folder / SOCKET_NAME))
                return int(lines[0]), socket_folder
        except (FileNotFoundError, ProcessLookupError):
            return None
        except (OSError, IndexError, ValueError):
            # the server starts
            pass
        time.sleep(POLL_SECONDS)
    return None


def stop(folder: Path, pid: int) -> None:
    """Tell the server to stop in order, and wait for it."""
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
        # the server deletes the file as its last act
        while (folder / "postmaster.pid").exists():
            time.sleep(POLL_SECONDS)
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGQUIT)
                return


def main() -> None:
    folder, start_lock, users_lock = map(Path, sys.argv[1:4])
    if sys.stdin.read():
        return
    # the folders may have been deleted, as those of tests are
    with suppress(FileNotFoundError), start_lock.open("r+") as start, users_lock.open("r+") as users:
        deadline = time.monotonic() + EXIT_SECONDS
        while True:
            fcntl.flock(start, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # another process uses the server, or the system has not yet closed the files of the killed one
                fcntl.flock(start, fcntl.LOCK_UN)
                if time.monotonic() > deadline:
                    return
            time.sleep(POLL_SECONDS)
        if running := find_running(folder):
            pid, socket_folder = running
            stop(folder, pid)
            if socket_folder.name.startswith(sys.argv[4]):
                shutil.rmtree(socket_folder, ignore_errors=True)


if __name__ == "__main__":
    main()
