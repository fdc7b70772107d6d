"""Ends the programs of a supervisor that was killed. It imports the standard library only, to start in milliseconds.

Standard input is a pipe from the supervisor, in which each line is `+<id>` for a new process group, or `-<id>` for one
that has ended. When the supervisor ends for any reason, SIGKILL included, the system closes the pipe, on Linux and
macOS; every group that is left then gets SIGTERM, and SIGKILL after the grace period.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 10
POLL_SECONDS = 0.05


def signal_group(group: int, number: int) -> bool:
    """Send a signal, or 0 for none; return whether the group has a process that can be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def remaining_groups(lines: Iterable[str]) -> set[int]:
    """The groups of `lines` that have not ended, once the supervisor has closed the pipe."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def end(groups: set[int]) -> None:
    """End every process of the groups."""
    deadline = time.monotonic() + GRACE_SECONDS
    running = {group for group in groups if signal_group(group, signal.SIGTERM)}
    while running and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        running = {group for group in running if signal_group(group, 0)}
    for group in running:
        signal_group(group, signal.SIGKILL)


if __name__ == "__main__":
    end(remaining_groups(sys.stdin))
