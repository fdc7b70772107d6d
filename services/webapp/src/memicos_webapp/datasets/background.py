"""The periodic clean-up in the webapp's process."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI

from memicos_webapp.database.connection import connect
from memicos_webapp.database.errors import DRIVER_ERRORS
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)


async def clean_periodically(
    url: str, every_seconds: float, retired_seconds: float, interrupted_seconds: float
) -> None:
    """Clean up every `every_seconds` until cancelled; a failure is logged, and the next round tries again."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            connection = await connect(url, "memicos-cleanup")
            try:
                await clean(connection, retired_seconds, interrupted_seconds)
            finally:
                await connection.close()
        except (asyncpg.PostgresError, *DRIVER_ERRORS, OSError) as error:
            log.warning("the clean-up of loads failed, next attempt in %.0f s: %s", every_seconds, error)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the clean-up while the application runs."""
    settings: Settings = app.state.settings
    if not settings.cleanup_every_seconds or settings.read_only:
        yield
        return
    cleaning = asyncio.create_task(
        clean_periodically(
            app.state.database.url,
            settings.cleanup_every_seconds,
            settings.retired_load_seconds,
            settings.interrupted_import_seconds,
        )
    )
    try:
        yield
    finally:
        cleaning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cleaning
