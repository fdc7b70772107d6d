"""`memicos owner-link` and `memicos key`: make credentials of the owner."""

import sys
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from memicos_webapp.accounts import service
from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.accounts.rows import ApiKeyRow
from memicos_webapp.database.command_line import run_with_database
from memicos_webapp.database.engine import Database
from memicos_webapp.settings import Settings


class ScopeOption(StrEnum):
    """Scopes of an API key (`accounts.rows.Scope`) as choices of an option."""

    READ = "read"
    WRITE = "write"
    DATASETS_WRITE = "datasets:write"
    ADMIN = "admin"


def owner_link() -> None:
    """Print a link that signs one browser in as the owner of the server, once.

    Run it where the webapp runs, with its settings: DATABASE_URL or MEMICOS_DATA, and MEMICOS_PUBLIC_URL for the
    address in the link. It is valid for MEMICOS_OWNER_LINK_SECONDS.
    """

    async def create(database: Database, settings: Settings) -> str:
        return await service.create_link(database, settings, OWNER_ID)

    sys.stdout.write(run_with_database("owner-link", create) + "\n")


def create_api_key(
    name: Annotated[str, typer.Argument(help="what the key is for, as the list of keys shows it")],
    scope: Annotated[
        list[ScopeOption],
        typer.Option(
            help="what the key may do; repeat it for several. read: read what the owner reads; write: generate and "
            "delete explanations, choose labels; datasets:write: upload datasets; admin: all that the owner may",
        ),
    ] = [ScopeOption.READ],  # noqa: B006 (Typer copies it)
    expires_days: Annotated[
        float | None, typer.Option(min=0.001, max=service.KEY_DAYS, help="days until it expires; without, it does not")
    ] = None,
) -> None:
    """Make an API key of the owner and print it. It is stored as a keyed hash: it cannot be shown again.

    Run it where the webapp runs, with its settings: MEMICOS_SECRET_KEY or MEMICOS_DATA too. Programs send the key as
    X-Api-Key.
    """

    async def create(database: Database, settings: Settings) -> tuple[int, str]:
        return await service.create_api_key(
            database, settings, OWNER_ID, name, [option.value for option in scope], expires_days
        )

    key_id, key = run_with_database("key new", create)
    sys.stderr.write(f"API key {key_id}; it cannot be shown again:\n")
    sys.stdout.write(key + "\n")


def list_api_keys() -> None:
    """List the API keys of the owner, without the keys themselves."""

    async def rows(database: Database, _: Settings) -> Sequence[ApiKeyRow]:
        return await service.list_api_keys(database, OWNER_ID)

    keys = run_with_database("key list", rows)
    table = [("id", "name", "scopes", "state", "created", "expires", "last used")]
    table += [
        (
            str(key.id),
            key.name,
            ",".join(key.scopes),
            key.state,
            _day(key.created_at),
            _day(key.expires_at),
            _day(key.last_used_at),
        )
        for key in keys
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def revoke_api_key(key_id: Annotated[int, typer.Argument(min=1, max=2**31 - 1, help="id, as `list` shows it")]) -> None:
    """Revoke an API key of the owner: it is refused from now on."""

    async def revoke(database: Database, _: Settings) -> None:
        await service.revoke_api_key(database, OWNER_ID, key_id)

    run_with_database("key revoke", revoke)
    sys.stdout.write(f"API key {key_id} is revoked\n")


def _day(time: datetime | None) -> str:
    return "-" if time is None else time.date().isoformat()
