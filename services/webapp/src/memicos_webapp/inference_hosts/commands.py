"""`memicos hosts list | add | change | remove`: the inference hosts of a database. A running webapp notices in seconds.

The database is the one that the webapp's settings name.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from memicos_webapp.database.embedded import database_url
from memicos_webapp.database.engine import Database
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.database.migrate import migrate
from memicos_webapp.errors import Fault
from memicos_webapp.inference.host_config import HostConfig
from memicos_webapp.inference_hosts import service
from memicos_webapp.settings import Settings, read_for_writing

NameArgument = Annotated[str, typer.Argument(help="name of the host: lower-case letters, digits and hyphens")]
SecretOption = Annotated[
    str | None,
    typer.Option(
        "--secret-variable",
        help="environment variable of the webapp that has the server's secret: INFERENCE_SECRET or INFERENCE_SECRET_…",
    ),
]


def list_hosts() -> None:
    """List the inference hosts: name, URL, secret variable, whether enabled, whether the settings name it."""

    async def run(database: Database, settings: Settings) -> None:
        for row in await service.all_hosts(database, settings):
            config = row.config
            fields = (
                config.name,
                config.url,
                config.secret_variable or "-",
                "enabled" if config.enabled else "disabled",
                "settings" if row.configured else "added",
            )
            sys.stdout.write("\t".join(fields) + "\n")

    _run(run)


def add_host(
    name: NameArgument,
    url: Annotated[str, typer.Argument(help="http(s)://host[:port][/path]")],
    secret_variable: SecretOption = None,
) -> None:
    """Add an inference host: requests whose model and source it has may go to it."""

    async def run(database: Database, settings: Settings) -> None:
        config = await service.add(database, settings, HostConfig(name, url, secret_variable))
        sys.stdout.write(f"{config.name}: {config.url} is added\n")

    _run(run)


def change_host(
    name: NameArgument,
    url: Annotated[str | None, typer.Option("--url", help="http(s)://host[:port][/path]")] = None,
    secret_variable: SecretOption = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="whether requests may go to it")] = None,
) -> None:
    """Change, enable or disable an inference host. Hosts of the settings can be enabled and disabled only."""
    if (url, secret_variable, enabled) == (None, None, None):
        raise typer.BadParameter("give --url, --secret-variable, --enable or --disable")

    async def run(database: Database, settings: Settings) -> None:
        row = await service.change(database, settings, name, url=url, secret_variable=secret_variable, enabled=enabled)
        state = "enabled" if row.config.enabled else "disabled"
        sys.stdout.write(f"{row.config.name}: {row.config.url}, {state}\n")

    _run(run)


def remove_host(name: NameArgument) -> None:
    """Remove an inference host that was added; one that the settings name can be disabled."""

    async def run(database: Database, settings: Settings) -> None:
        await service.remove(database, settings, name)
        sys.stdout.write(f"{name} is removed\n")

    _run(run)


def _run(command: Callable[[Database, Settings], Awaitable[None]]) -> None:
    """Run `command` on the database of the settings; ends the program with one line where it fails."""

    async def run(url: str, settings: Settings) -> None:
        await migrate(url)
        database = Database(url, settings)
        try:
            await command(database, settings)
        finally:
            await database.close()

    settings = read_for_writing("hosts")
    try:
        with database_url(settings) as url:
            asyncio.run(run(url, settings))
    except (Fault, DatabaseError) as error:
        sys.exit(f"hosts: {error}")
    except (SQLAlchemyError, OSError) as error:
        sys.exit(f"hosts: the database reported an error: {error}")
