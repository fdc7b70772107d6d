"""A program: runs a command, and ends it with all its children when the process that started this one ends.

    python -I process_supervisor.py COMMAND …

The starter holds the other end of its standard input. What the command prints goes to standard output, whose last line
is STATUS_MARK and the command's exit status. It imports nothing of memicos, as it starts in milliseconds then.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

STATUS_MARK = "\0"
GRACE_SECONDS = 10.0
"""Time to end after SIGTERM, in which a server frees its GPU memory and shared memory; then comes SIGKILL."""


def main() -> None:
    # not a child of the starter: Ray kills the children of an actor that it ends, and not the children of these
    if os.fork():
        os._exit(0)
    os.setsid()
    # a group of its own, which is ended as a whole; Ctrl-C does not reach it
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, process_group=0)
    threading.Thread(target=_end_with_starter, args=(command.pid,), daemon=True).start()
    status = command.wait()
    # what it has left
    end_group(command.pid)
    with contextlib.suppress(BrokenPipeError):  # the starter is gone
        os.write(1, f"\n{STATUS_MARK}{status}\n".encode())


def _end_with_starter(group: int) -> None:
    while os.read(0, 4096):
        pass
    end_group(group)


def end_group(group: int) -> None:
    """End the processes of a group, by SIGTERM or after a time by SIGKILL."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left; macOS says the latter of ended ones
        os.killpg(group, signal.SIGTERM)
        end = time.monotonic() + GRACE_SECONDS
        while _runs(group):
            if time.monotonic() > end:
                os.killpg(group, signal.SIGKILL)
                return
            time.sleep(0.05)


def _runs(group: int) -> bool:
    """Whether a process of the group has not ended. One that its parent has not asked for its status has ended."""
    if not Path("/proc/self/stat").exists():
        os.killpg(group, 0)
        return True
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # behind the name, which is in parentheses and may have spaces
            fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            state, _, its_group = fields[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False


if __name__ == "__main__":
    main()
