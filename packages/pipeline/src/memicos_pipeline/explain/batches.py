"""Batches of `memicos explain --batch` and `memicos score --batch`."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from memicos_autointerp_core.bulk.batch_run import BatchChat
from memicos_autointerp_core.bulk.meter import CannotContinue
from memicos_autointerp_core.bulk.stored_batches import StoredBatches
from memicos_autointerp_core.providers.batches import Batches
from memicos_autointerp_core.providers.client import open_http
from memicos_autointerp_core.providers.profile import ProfileError
from memicos_autointerp_core.providers.settings import ProviderSettings

from memicos_pipeline.config import ConfigError
from memicos_pipeline.explain.language_model import STATE_FILE, BulkModel

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
    batches: Batches
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
        waiting = len(stored.open())
        if use is BatchUse.NONE:
            if waiting:
                raise ConfigError(
                    f"{waiting} batches of an interrupted run are in progress: go on with --batch, or end them with "
                    "--cancel-batch"
                )
            yield None
            return
        if not model.profile.batch:
            raise ProfileError(
                f"the profile {model.profile.name} has no batches: add batch = true to it if the provider has OpenAI's "
                "Batch API"
            )
        options = replace(settings.bulk_options, answer_bytes=settings.batch_file_bytes)
        with tempfile.TemporaryDirectory(prefix="memicos-batches-") as files:
            async with open_http(options) as http:
                batches = Batches(model.profile, model.key, http, options, settings.batch_file_seconds)
                chat = BatchChat(model.meter, model.cache, batches, stored, settings.batch_options, Path(files), report)
                yield BatchRun(chat, batches, use is BatchUse.CANCEL, waiting)
    finally:
        stored.close()
