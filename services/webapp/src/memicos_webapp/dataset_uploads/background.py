"""The uploads of a running server, and their periodic clean-up."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from memicos_webapp.database.engine import Database
from memicos_webapp.database.errors import DatabaseError
from memicos_webapp.dataset_uploads import repository
from memicos_webapp.dataset_uploads.service import Uploads
from memicos_webapp.dataset_uploads.storage import delete_folder
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)

SECONDS_PER_DAY = 86_400
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


async def clean(database: Database, settings: Settings) -> list[str]:
    """Delete uploads whose import is done, and those that nobody continued for `upload_days`, with their files; then
    folders of no upload. Returns the ids of the deleted uploads.

    It takes the lock of each account, as requests do that begin, complete or delete an upload.
    """
    seconds = settings.upload_days * SECONDS_PER_DAY
    deleted: list[str] = []
    async with database.snapshot() as session:
        accounts = {account_id for _, account_id in await repository.expired(session, seconds)}
    for account_id in sorted(accounts):
        async with database.transaction() as session:
            await repository.lock_account(session, account_id)
            # looked up again: the uploads may have been continued meanwhile
            due = [upload for upload, owner in await repository.expired(session, seconds) if owner == account_id]
            for upload_id in due:
                await repository.remove(session, upload_id)
        deleted += due
    # listed before the rows are read: an upload's row is there before its folder
    folders = await asyncio.to_thread(_folders, settings.uploads)
    async with database.snapshot() as session:
        known = await repository.known(session)
    for folder in folders:
        if folder.name not in known:
            await asyncio.to_thread(delete_folder, folder)
    return deleted


def _folders(uploads: Path) -> list[Path]:
    """Folders of uploads, by their names: MEMICOS_UPLOAD_FOLDER may have files and folders of others too."""
    if not uploads.is_dir():
        return []
    return [folder for folder in uploads.iterdir() if _UPLOAD_ID.fullmatch(folder.name)]


async def _clean_periodically(database: Database, settings: Settings) -> None:
    while True:
        await asyncio.sleep(settings.cleanup_every_seconds)
        try:
            for upload_id in await clean(database, settings):
                log.info("the upload %s was deleted", upload_id)
        except (SQLAlchemyError, DatabaseError, OSError) as error:
            log.warning(
                "the clean-up of uploads failed, next attempt in %.0f s: %s", settings.cleanup_every_seconds, error
            )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Set `app.state.uploads`, and clean up while the application runs."""
    settings: Settings = app.state.settings
    uploads = app.state.uploads = Uploads(app.state.database, settings)
    cleans = settings.cleanup_every_seconds and not settings.read_only
    cleaning = asyncio.create_task(_clean_periodically(app.state.database, settings)) if cleans else None
    try:
        yield
    finally:
        if cleaning is not None:
            cleaning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cleaning
        await asyncio.to_thread(uploads.threads.close)
