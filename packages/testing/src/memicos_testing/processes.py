"""Processes that a test has started, found and awaited; each can end at any moment."""

import time
from collections.abc import Iterable

import psutil


def processes_below(process: psutil.Process, *parts: str) -> list[psutil.Process]:
    """Its child processes, and theirs, with one of `parts` in the command line; those that have ended are left out."""
    found: list[psutil.Process] = []
    try:
        below = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return found
    for child in below:
        try:
            command = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if any(part in command for part in parts):
            found.append(child)
    return found


def running_processes(processes: Iterable[psutil.Process], seconds: float = 10) -> list[psutil.Process]:
    """The processes that still run after `seconds`; a zombie has ended."""
    end = time.monotonic() + seconds
    running = list(processes)
    while running and time.monotonic() < end:
        running = [process for process in running if _runs(process)]
        time.sleep(0.1)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
