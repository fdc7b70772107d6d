"""SQL of the files whose rows a job stores, and of the rows that it leaves out."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from asyncpg import Connection, Record


class FileEntry(Protocol):
    """A file that a job stores."""

    @property
    def path(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def bytes(self) -> int: ...


async def add_files(connection: Connection, job_id: int, files: Iterable[FileEntry]) -> None:
    """Note the files that a job stores, in place of those of an earlier attempt."""
    await connection.execute("DELETE FROM job_file WHERE job_id = $1", job_id)
    await connection.executemany(
        "INSERT INTO job_file (job_id, path, rows, bytes) VALUES ($1, $2, $3, $4)",
        [(job_id, entry.path, entry.rows, entry.bytes) for entry in files],
    )


async def add_reject(connection: Connection, job_id: int, file: str, line: int, column: str, reason: str) -> None:
    """Record a row that a job leaves out, unless an earlier attempt has."""
    await connection.execute(
        """INSERT INTO job_reject (job_id, file, line, "column", reason) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING""",
        job_id,
        file,
        line,
        column,
        # PostgreSQL cannot store a NUL
        reason.replace("\0", "␀"),
    )


async def delete_rejects(connection: Connection, job_id: int) -> None:
    """Forget what earlier attempts of a job left out."""
    await connection.execute("DELETE FROM job_reject WHERE job_id = $1", job_id)


async def rejects(connection: Connection, job_id: int) -> list[Record]:
    """Rows that a job left out."""
    return await connection.fetch(
        """SELECT file, line, "column", reason FROM job_reject WHERE job_id = $1 ORDER BY file, line""", job_id
    )


async def loaded_files(connection: Connection, job_id: int) -> set[str]:
    """Paths of the files whose rows are stored."""
    rows = await connection.fetch("SELECT path FROM job_file WHERE job_id = $1 AND loaded", job_id)
    return {row["path"] for row in rows}


async def mark_loaded(
    connection: Connection, job_id: int, paths: list[str], rows: int | None = None, digest: int | None = None
) -> None:
    """Note that files are stored; called in the transaction that stores their rows.

    `rows` and `digest` are of what was stored of a single file.
    """
    await connection.execute(
        """UPDATE job_file SET loaded = true, stored_rows = $3, digest = $4
           WHERE job_id = $1 AND path = ANY($2)""",
        job_id,
        paths,
        rows,
        digest,
    )


async def note_progress(connection: Connection, job_id: int) -> None:
    """Note that an attempt has stored a file. Others wait for the job's row until the transaction ends."""
    await connection.execute("UPDATE job SET attempts_without_progress = 0, error = NULL WHERE id = $1", job_id)


async def stored(connection: Connection, job_id: int, paths: list[str]) -> tuple[int, Decimal]:
    """Number of the rows that were stored of files, and their digest."""
    row = await connection.fetchrow(
        """SELECT coalesce(sum(stored_rows), 0)::bigint AS rows, coalesce(sum(digest), 0) AS digest
           FROM job_file WHERE job_id = $1 AND path = ANY($2)""",
        job_id,
        paths,
    )
    assert row is not None
    return row["rows"], row["digest"]
