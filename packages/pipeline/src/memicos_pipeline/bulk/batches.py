"""Batches of `memicos explain --batch` and `memicos score --batch`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memicos_autointerp_core.bulk.batch_chat import BatchChat, open_batch_chat
from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.bulk.stored_batches import BatchCallbacks, StoredBatches
from memicos_autointerp_core.providers.choice import require_batches
from memicos_autointerp_core.providers.settings import ProviderSettings

from memicos_pipeline.bulk.language_model import STATE_FILE, BulkModel
from memicos_pipeline.config import ConfigError

CANCELLED = "the batches are cancelled, as --cancel-batch says"
NONE_OPEN = "no batch is in progress"


class BatchUse(Enum):
    """What a run does with batches."""

    NONE = "none"
    SEND = "send"
    CANCEL = "cancel"


@dataclass(frozen=True)
class BatchRun:
    """`cancel`: batches of interrupted runs are cancelled, and no others are sent."""

    chat: BatchChat
    cancel: bool
    open: int

    async def finish_open(self) -> str | None:
        """Store the answers of the batches of interrupted runs; returns why the run ends with that, None to go on."""
        try:
            await self.chat.finish_open(self.cancel)
        except CannotContinue as error:
            return str(error)
        if self.cancel:
            return CANCELLED if self.open else NONE_OPEN
        return None


@asynccontextmanager
async def open_batches(
    use: BatchUse, model: BulkModel, settings: ProviderSettings, folder: Path, report: Callable[[str], None]
) -> AsyncIterator[BatchRun | None]:
    """The batches of a run; None where it sends none.

    Raises:
        ProfileError: the profile has no batches.
        ConfigError: the run sends none, but batches of an interrupted run are in progress: their requests would be paid
            twice.
        CacheError: the stored batches cannot be used.
    """
    stored = StoredBatches(folder / STATE_FILE, model.work)
    try:
        waiting = len(await stored.open())
        if use is BatchUse.NONE:
            if waiting:
                raise ConfigError(
                    f"{waiting} batches of an interrupted run are in progress: go on with --batch, or end them with "
                    "--cancel-batch"
                )
            yield None
            return
        require_batches(model.profile)
        callbacks = _callbacks(settings.batch_poll_seconds, report)
        async with open_batch_chat(
            model.profile, model.key, settings, model.meter, model.cache, stored, callbacks
        ) as chat:
            yield BatchRun(chat, use is BatchUse.CANCEL, waiting)
    finally:
        stored.close()


def _callbacks(poll_seconds: float, report: Callable[[str], None]) -> BatchCallbacks:
    """Reports lines, and waits in this process."""
    shown = ""

    async def log_line(line: str) -> None:
        nonlocal shown
        shown = line
        report(line)

    async def show_progress(line: str) -> None:
        # the wait for a batch takes hours, in which nothing changes
        if line != shown:
            await log_line(line)

    async def wait_for_next_poll() -> None:
        await asyncio.sleep(poll_seconds)

    return BatchCallbacks(
        log_line, show_progress, wait_for_next_poll, "--cancel-batch deletes the record of the batch."
    )
