"""Embeds explanations in the background of the server: at start, after an import, after a new explanation.

An attempt that fails, with any error, is logged and repeated after a pause that doubles up to
`MAX_PAUSE_SECONDS`; `BackgroundEmbedder.status` reports it to pages and `/health`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import asyncpg
from fastapi import FastAPI
from memicos_embeddings.embedder import EmbedderError
from memicos_embeddings.registry import EmbedderConfig, EmbedderRegistry, open_registry

from memicos_webapp.database.engine import Database
from memicos_webapp.database.errors import DRIVER_ERRORS
from memicos_webapp.embeddings import repository
from memicos_webapp.embeddings.cost_limits import QueryCostLimiter
from memicos_webapp.embeddings.repository import Coverage
from memicos_webapp.embeddings.service import Pause, embed_missing, no_pause
from memicos_webapp.inference.hosts import Hosts
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)

MAX_PAUSE_SECONDS = 600
PAUSE_POLL_SECONDS = 0.5
COVERAGE_SECONDS = {True: 15.0, False: 1.0}
"""How long counts of vectors are cached: when all are there, and when some are missing."""


@dataclass(frozen=True)
class EmbedderStatus:
    """`disabled`: MEMICOS_EMBED_EVERY_SECONDS is 0, or the server is read-only.

    `failing`: the last attempts failed; `error` says why.
    """

    state: Literal["disabled", "idle", "embedding", "failing"]
    error: str | None = None
    failures: int = 0
    """Attempts that have failed in a row."""
    retry_in_seconds: float | None = None

    @property
    def problem(self) -> str | None:
        """The failure as pages show it, None where there is none."""
        if self.state != "failing":
            return None
        return f"{self.error} The next attempt is in {self.retry_in_seconds or 0:.0f} s."


class BackgroundEmbedder:
    """`every_seconds`: seconds between look-ups of missing vectors, 0 for none.

    `pause` is awaited before each batch.
    """

    def __init__(
        self, database: Database, embedders: EmbedderRegistry, every_seconds: float, pause: Pause = no_pause
    ) -> None:
        self._pause = pause
        self._database = database
        self._embedders = embedders
        self._every_seconds = every_seconds
        self._wake = asyncio.Event()
        self._coverage: dict[int, Coverage] = {}
        self._coverage_expires = 0.0
        self._embedding = False
        self._error: str | None = None
        self._failures = 0
        self._retry_at = 0.0

    @property
    def status(self) -> EmbedderStatus:
        if not self._every_seconds:
            return EmbedderStatus("disabled")
        if self._failures:
            wait = max(0.0, self._retry_at - time.monotonic())
            return EmbedderStatus("failing", self._error, self._failures, wait)
        return EmbedderStatus("embedding" if self._embedding else "idle")

    def wake(self) -> None:
        """Look for explanations without a vector now."""
        self._wake.set()

    async def coverage(self) -> dict[int, Coverage]:
        """How many explanations of each source have a vector, by source id.

        Cached for `COVERAGE_SECONDS`: counting takes longer than a search.
        """
        if time.monotonic() > self._coverage_expires:
            async with self._database.snapshot() as session:
                self._coverage = await repository.coverage(session)
            complete = all(source.embedded >= source.total for source in self._coverage.values())
            self._coverage_expires = time.monotonic() + COVERAGE_SECONDS[complete]
        return self._coverage

    async def run(self) -> None:
        """Embed until cancelled."""
        while True:
            self._wake.clear()
            self._embedding = True
            # an error is returned here, whatever its type: none may end this loop
            (outcome,) = await asyncio.gather(
                embed_missing(self._database.url, self._embedders, self._pause), return_exceptions=True
            )
            self._embedding = False
            pause = self._record(outcome)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    def _record(self, outcome: int | BaseException) -> float:
        """Store the outcome of an attempt; returns the seconds until the next one."""
        if isinstance(outcome, int):
            if outcome:
                self._coverage_expires = 0.0
            self._error, self._failures = None, 0
            return self._every_seconds
        self._failures += 1
        pause = min(self._every_seconds * 2**self._failures, MAX_PAUSE_SECONDS)
        self._retry_at = time.monotonic() + pause
        if isinstance(outcome, EmbedderError):
            self._error = outcome.message
            log.warning("embedding of explanations failed: %s", outcome.message)
        elif isinstance(outcome, (asyncpg.PostgresError, *DRIVER_ERRORS, OSError)):
            self._error = "The database did not answer the embedder."
            log.warning("embedding of explanations failed, the database did not answer: %s", outcome)
        else:
            self._error = (
                f"The embedder failed unexpectedly ({type(outcome).__name__}); the server's log has the details."
            )
            log.error("embedding of explanations failed unexpectedly", exc_info=outcome)
        return pause


def pause_while_loading(hosts: Hosts, longest: float) -> Pause:
    """Waits while an inference server loads its model, which needs the processors that embedding would take.

    Args:
        longest: seconds of loading after which embedding continues in parallel.
    """
    since: float | None = None

    async def pause() -> None:
        nonlocal since
        while hosts.loading:
            since = time.monotonic() if since is None else since
            if time.monotonic() - since >= longest:
                return
            await asyncio.sleep(PAUSE_POLL_SECONDS)
        since = None

    return pause


def embedder_config(settings: Settings) -> EmbedderConfig:
    return EmbedderConfig(
        preferred=settings.preferred_embedder,
        minilm_threads=settings.embedder_threads,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        openai_timeout_seconds=settings.openai_seconds,
        openai_answer_bytes=settings.openai_answer_bytes,
        cached_queries=settings.queries_remembered,
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Sets `embedders`, `query_cost_limiter` and `background_embedder` of `app.state`; the last runs until the end."""
    settings: Settings = app.state.settings
    embedders = open_registry(embedder_config(settings))
    every_seconds = 0 if settings.read_only else settings.embed_every_seconds
    pause = pause_while_loading(app.state.inference_hosts, settings.embed_wait_seconds)
    background = BackgroundEmbedder(app.state.database, embedders, every_seconds, pause)
    app.state.embedders, app.state.background_embedder = embedders, background
    app.state.query_cost_limiter = QueryCostLimiter(settings)
    task = asyncio.create_task(background.run()) if every_seconds else None
    try:
        yield
    finally:
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await embedders.close()
