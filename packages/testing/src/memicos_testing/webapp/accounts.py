"""Links, sessions and API keys of the owner, on a database under test."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from memicos_webapp.accounts import service
from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.accounts.rows import Scope
from memicos_webapp.database.engine import Database
from memicos_webapp.settings import Settings

from memicos_testing.webapp.app_settings import SECRET_KEY, make_settings

ORIGIN = {"Origin": "http://localhost"}


LINK = re.compile(r"http://localhost:3000/account/sign-in#(\S+)")


async def memicos(url: str, *arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Exit status, standard output and standard error of `memicos …` on a database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from memicos_cli.main import app; app()", *arguments,
        env={**os.environ, "DATABASE_URL": url, "MEMICOS_SECRET_KEY": SECRET_KEY, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def database_at(url: str) -> AsyncIterator[tuple[Database, Settings]]:
    settings = make_settings(url)
    database = Database(url, settings)
    try:
        yield database, settings
    finally:
        await database.close()


async def new_link(url: str) -> str:
    """The token of a new one-time link, made by the function that `memicos owner-link` runs."""
    async with database_at(url) as (database, settings):
        link = LINK.fullmatch(await service.create_link(database, settings, OWNER_ID))
    assert link
    return link[1]


async def new_key(url: str, *scopes: Scope, days: float | None = None) -> str:
    async with database_at(url) as (database, settings):
        return (await service.create_api_key(database, settings, OWNER_ID, "a script", scopes or ["read"], days))[1]


async def sign_in(client: httpx.AsyncClient, url: str) -> httpx.Response:
    response = await client.post("/account/sign-in", data={"token": await new_link(url)}, headers=ORIGIN)
    assert response.status_code == 303, response.text
    return response
