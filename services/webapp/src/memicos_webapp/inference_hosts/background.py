"""Keeps the inference hosts up to date in the background: their list and their states."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from memicos_webapp.database.engine import Database
from memicos_webapp.inference.hosts import Hosts
from memicos_webapp.inference_hosts import service
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)


async def _poll(database: Database, settings: Settings, hosts: Hosts) -> None:
    """Check all hosts and read their table again, every MEMICOS_INFERENCE_POLL_SECONDS, until cancelled."""
    reachable = True
    while True:
        hosts.check_all()
        await asyncio.sleep(settings.inference_poll_seconds)
        try:
            await service.refresh(database, settings, hosts)
            reachable = True
        except (SQLAlchemyError, OSError) as error:
            if reachable:
                log.warning("the table of inference hosts cannot be read; those known are used: %s", error)
            reachable = False


@asynccontextmanager
async def opened_hosts(database: Database, settings: Settings) -> AsyncIterator[Hosts]:
    """The hosts as they are stored now, for a program without the server; each is checked when it is called."""
    hosts = Hosts(settings, service.lookup(settings))
    await service.refresh(database, settings, hosts)
    try:
        yield hosts
    finally:
        await hosts.close()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Sets `app.state.inference_hosts`, and checks the hosts in the background until the end."""
    settings: Settings = app.state.settings
    hosts = Hosts(settings, service.lookup(settings))
    if not settings.read_only:
        await service.store_configured(app.state.database, settings)
    await service.refresh(app.state.database, settings, hosts)
    app.state.inference_hosts = hosts
    task = asyncio.create_task(_poll(app.state.database, settings, hosts)) if settings.inference_poll_seconds else None
    try:
        yield
    finally:
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await hosts.close()
