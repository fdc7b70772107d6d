"""Converts hashes of API keys that an earlier version stored without the server's secret."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from memicos_webapp.accounts import repository
from memicos_webapp.accounts.server_secret import server_secret
from memicos_webapp.accounts.tokens import keyed_hash
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import NotConfigured
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)


async def convert(database: Database, settings: Settings) -> int:
    """Convert the hashes; returns how many there were. The keys stay valid."""
    async with database.transaction() as session:
        plain = await repository.plain_hashes(session)
        for key_id, digest in plain:
            await repository.set_keyed_hash(session, key_id, keyed_hash(server_secret(settings), digest))
    return len(plain)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Convert at the start of a server that may write; a read-only one ignores API keys.

    Without a secret the server runs, and refuses requests with a key; the next start with a secret converts.
    """
    settings: Settings = app.state.settings
    if not settings.read_only:
        try:
            if count := await convert(app.state.database, settings):
                log.info("%d API keys are now stored as hashes keyed with the server's secret", count)
        except NotConfigured as error:
            log.error("API keys of an earlier version cannot be used: %s", error.message)
    yield
