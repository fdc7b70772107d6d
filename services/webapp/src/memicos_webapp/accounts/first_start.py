"""Logs a one-time sign-in link at each start beyond loopback, until the owner has signed in once."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from memicos_webapp.accounts import repository, service
from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    if not settings.local_owner_active and not settings.read_only:
        async with app.state.database.snapshot() as session:
            signed_in = await repository.has_signed_in(session, OWNER_ID)
        if not signed_in:
            link = await service.create_link(app.state.database, settings, OWNER_ID)
            log.info(
                "sign in as the owner with this link; it works once, within %d minutes: %s",
                settings.owner_link_seconds // 60,
                link,
            )
    yield
