"""Backup, restore and reset of a whole database, with pg_dump and pg_restore."""

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from memicos_webapp.database.connection import connect, parse_url, url_without_password
from memicos_webapp.database.connection_errors import describe
from memicos_webapp.database.embedded import program_folder
from memicos_webapp.database.errors import DatabaseError, DatabaseUnreachableError
from memicos_webapp.database.migrate import check_revision_known, migrate


def _program(name: str) -> str:
    """Path of one of PostgreSQL's programs: of the embedded PostgreSQL where it is installed, else of this machine.

    Raises:
        DatabaseError: there is none.
    """
    folder = program_folder()
    path = shutil.which(name, path=str(folder)) if folder else None
    path = path or shutil.which(name)
    if path is None:
        raise DatabaseError(
            f"there is no {name} here. Install PostgreSQL's client programs (Debian: apt install postgresql-client) or "
            "the embedded PostgreSQL, which has them: pip install 'memicos-webapp[embedded]'"
        )
    return path


def _run(name: str, url: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs on a database, and return its output.

    Raises:
        DatabaseError: there is no such program, or it fails; the message has the first line of its error.
    """
    parsed = make_url(url)
    # other users of this machine see arguments, but not the environment
    environment = {**os.environ, "PGAPPNAME": "memicos-backup"}
    if parsed.password:
        environment["PGPASSWORD"] = str(parsed.password)
    # SQLAlchemy writes a space in the query as a plus sign, which libpq reads as such
    address, mark, query = url_without_password(parsed.set(drivername="postgresql")).partition("?")
    process = subprocess.run(
        [_program(name), "--no-password", "--dbname", address + mark + query.replace("+", "%20"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        lines = [line.removeprefix(f"{name}: ") for line in process.stderr.strip().splitlines()]
        if any("version mismatch" in line for line in lines):
            versions = next((line.removeprefix("detail: ") for line in lines if "server version:" in line), "")
            raise DatabaseError(
                f"{name} is older than the server ({versions}). Install PostgreSQL's client programs of the server's "
                "version, and put them first in PATH"
            )
        line = lines[0].removeprefix("error: ") if lines else f"exit status {process.returncode}"
        raise DatabaseError(f"{name} failed: {line}")
    return process.stdout


def backup(url: str, file: Path) -> None:
    """Write the whole database to a file of pg_dump's custom format, as a consistent snapshot. The database may be in
    use meanwhile.

    Raises:
        DatabaseError: the file exists or cannot be written, or the database cannot be read.
    """
    parse_url(url)
    unfinished = file.with_name(f"{file.name}.part")
    try:
        if file.exists():
            raise DatabaseError(f"{file} exists already: choose another name, or delete it")
        if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
            raise DatabaseError(f"the folder {file.parent} does not exist or is not writable")
        unfinished.unlink(missing_ok=True)
        # the backup has private data: no other user reads it
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise DatabaseError(f"{file} cannot be written ({error.strerror or error})") from error
    try:
        options = ("--format=custom", "--no-owner", "--no-privileges")
        _run("pg_dump", url, *options, "--file", str(unfinished))
        unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)


def restore(url: str, file: Path) -> None:
    """Restore a backup into an empty database, completely or not at all, and migrate it.

    Raises:
        DatabaseError: the file is no backup or one of a newer memicos, or the database is not empty.
    """
    try:
        if not file.is_file():
            raise DatabaseError(f"there is no file {file}")
    except OSError as error:
        raise DatabaseError(f"{file} cannot be read ({error.strerror or error})") from error
    check_revision_known(_revision(file), f"the backup {file}")
    if tables := asyncio.run(_tables(url)):
        raise DatabaseError(
            f"the database has {tables} tables; a backup is restored into an empty one. Delete everything in it with "
            "`memicos db reset --empty`, or name another database in DATABASE_URL"
        )
    # only the owner of the extension, often an administrator, may set its comment
    options = ("--no-owner", "--no-privileges", "--no-comments", "--single-transaction", "--exit-on-error")
    _run("pg_restore", url, *options, str(file))
    asyncio.run(migrate(url))


async def _tables(url: str) -> int:
    connection = await _connect(url)
    try:
        return len(await connection.fetch("SELECT FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        await connection.close()


def _revision(file: Path) -> str:
    """The revision of a backup.

    Raises:
        DatabaseError: the file is no backup of a database of memicos.
    """
    arguments = ["--data-only", "--table=alembic_version", "--file=-", str(file)]
    process = subprocess.run([_program("pg_restore"), *arguments], capture_output=True, text=True, check=False)
    if process.returncode != 0:
        line = next(iter(process.stderr.strip().splitlines()), f"exit status {process.returncode}")
        raise DatabaseError(f"{file} is no backup of `memicos db backup`: {line.removeprefix('pg_restore: error: ')}")
    match = re.search(r"^COPY public\.alembic_version .*\n(\S+)$", process.stdout, re.M)
    if match is None:
        raise DatabaseError(f"{file} is no backup of a database of memicos: it has no table alembic_version")
    return match[1]


async def reset(url: str) -> None:
    """Delete every table, type and function in the database's schema `public`, with all data.

    Raises:
        DatabaseError: a webapp or another program of memicos uses the database, or it cannot be changed.
    """
    connection = await _connect(url)
    try:
        users = await connection.fetch(
            """SELECT DISTINCT application_name FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'memicos-%'"""
        )
        if users:
            names = ", ".join(row["application_name"] for row in users)
            raise DatabaseError(f"the database is in use by {names}: stop that first")
        async with connection.transaction():
            await connection.execute("DROP SCHEMA public CASCADE")
            await connection.execute("CREATE SCHEMA public")
            # as in a new database: roles that may only read reach tables through it
            await connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    except asyncpg.PostgresError as error:
        raise DatabaseError(f"the database cannot be emptied: {error}") from error
    finally:
        await connection.close()


async def _connect(url: str) -> asyncpg.Connection:
    try:
        return await connect(url, "memicos-db")
    except DatabaseUnreachableError as error:
        raise DatabaseError(describe(error, url)) from error
