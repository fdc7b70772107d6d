"""Runs a command on the database that the settings name; prints an error as one line on standard error."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.engine import Database
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.errors import Fault
from memicos_webapp.settings import Settings, read_for_writing

Result = TypeVar("Result")


def run_with_database(program: str, action: Callable[[Database, Settings], Awaitable[Result]]) -> Result:
    """Migrate the database that the settings name and run `action` on it.

    Ends the program with one line on standard error where a setting is invalid or says read-only, the database cannot
    be used, or `action` refuses its input.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = read_for_writing(program)

    async def run(url: str) -> Result:
        await migrate(url)
        database = Database(url, settings)
        try:
            return await action(database, settings)
        finally:
            await database.close()

    try:
        with database_url(settings) as url:
            return asyncio.run(run(url))
    except Fault as error:
        sys.exit(f"{program}: {error.message}")
    except DatabaseError as error:
        sys.exit(f"{program}: {error}")
