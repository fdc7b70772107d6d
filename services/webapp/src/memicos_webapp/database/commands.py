"""`memicos db migrate | reset | backup | restore`: the database that the settings name, as a whole."""

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from memicos_webapp.database import backup
from memicos_webapp.database.connection import url_without_password
from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.settings import read, read_for_writing


def migrate_database() -> None:
    """Bring the database to the newest revision. The webapp does so itself when it starts.

    Run it with a role that may create tables, where the webapp's own may not.
    """
    _run("db migrate", lambda url: asyncio.run(migrate(url)), "The database is at the newest revision")


def reset_database(
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    empty: Annotated[bool, typer.Option("--empty", help="leave no tables, for a restore")] = False,
) -> None:
    """Delete everything in the database: datasets, explanations, accounts. Then make empty tables."""

    def reset(url: str) -> None:
        if not yes:
            # without an answer on standard input this aborts
            typer.confirm(f"Delete all data of {url_without_password(url)}?", abort=True, err=True)
        asyncio.run(backup.reset(url))
        if not empty:
            asyncio.run(migrate(url))

    _run("db reset", reset, "The database is empty")


def backup_database(file: Annotated[Path, typer.Argument(help="file to write; it must not exist")]) -> None:
    """Write the whole database to a file. The webapp may run meanwhile."""
    _run("db backup", lambda url: backup.backup(url, file), f"The database is written to {file}", writes=False)


def restore_database(file: Annotated[Path, typer.Argument(help="file that `memicos db backup` wrote")]) -> None:
    """Restore a backup into an empty database, and migrate it where it is of an older memicos."""
    _run("db restore", lambda url: backup.restore(url, file), f"{file} is restored")


def _run(program: str, action: Callable[[str], None], message: str, writes: bool = True) -> None:
    """Run `action` on the URL of the database; ends the program with one line where it fails."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = read_for_writing(program) if writes else read(program)
    try:
        with database_url(settings) as url:
            action(url)
    except DatabaseError as error:
        sys.exit(f"{program}: {error}")
    sys.stdout.write(message + "\n")
