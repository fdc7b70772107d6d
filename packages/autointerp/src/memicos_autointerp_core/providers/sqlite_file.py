"""SQLite files of a run, which several processes may use."""

import sqlite3
from pathlib import Path

BUSY_SECONDS = 30
"""Longest wait for another process's write."""


def open_sqlite(path: Path, *tables: str, synchronous: str = "NORMAL") -> sqlite3.Connection:
    """A connection that commits each statement; the file and its folders are made where they are missing.

    With write-ahead logging each committed row outlives a kill of the process, and with `synchronous` FULL also a crash
    of the machine.

    Args:
        tables: of CREATE TABLE IF NOT EXISTS: name, columns and options.

    Raises:
        OSError, sqlite3.Error: the file cannot be opened or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    for table in tables:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    return connection
