"""Giving explanations their vectors: at start, after an import, after a new explanation.

Each batch is committed, so work that is stopped goes on where it was. Many new vectors are written before their
index is built: writing into one takes several times as long.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI

from memicos_webapp.database.engine import Database
from memicos_webapp.embeddings import repository as repository
from memicos_webapp.embeddings.embedders import Embedder, EmbedderFault, Embedders, open_embedders
from memicos_webapp.embeddings.repository import Coverage
from memicos_webapp.settings import Settings

log = logging.getLogger(__name__)

BATCH = 256
"""Explanations that are read, embedded and committed at a time."""
BULK = 2000
"""From so many new vectors on, and if they are more than those there are, the index is built anew after them."""
LONGEST_PAUSE = 600
"""Seconds between attempts of an embedder that keeps failing."""
BELIEVED = {True: 15.0, False: 1.0}
"""Seconds for which counts of vectors are believed when all are there, and when some are missing."""


@asynccontextmanager
async def _embedding(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings={"application_name": "memicos-embed"})
    try:
        await repository.prepare(connection)
        yield connection
    finally:
        await connection.close()


async def embed_missing(url: str, embedders: Embedders) -> int:
    """Embed what has no vector of its source's active embedder; returns how many texts that were.

    Sources without an embedder get the preferred one. Those whose embedder this server lacks are left as they are.
    May run in several processes at once: they take turns.

    Raises:
        EmbedderFault: an embedder failed; what was embedded before stays.
    """
    async with _embedding(url) as connection:
        await repository.choose_embedder(connection, embedders.preferred)
        done = 0
        for embedder in embedders.by_key.values():
            sources = await repository.sources_of(connection, embedder.key)
            done += await _fill(connection, embedder, sources)
        return done


async def switch(url: str, embedders: Embedders, key: str) -> int:
    """Embed every source with the embedder `key`, then let it be their active one.

    Search goes on with the old vectors until then.

    Raises:
        EmbedderFault: the embedder failed; nothing is switched, what was embedded stays.
    """
    async with _embedding(url) as connection:
        sources = await repository.all_sources(connection)
        done = await _fill(connection, embedders.by_key[key], sources)
        await repository.switch(connection, key, sources)
        return done


async def _fill(connection: asyncpg.Connection, embedder: Embedder, sources: Sequence[int]) -> int:
    key, done, last = embedder.key, 0, 0
    missing, present = await repository.counts(connection, key, sources)
    bulk = missing >= BULK and missing > present
    if bulk:
        log.info("embedding %d explanations with %s", missing, embedder.title)
        await repository.drop_index(connection, key)
    while missing and (batch := await repository.missing(connection, key, sources, last, BATCH)):
        texts = list(dict.fromkeys(text for _, text in batch))
        vectors = await embedder.embed(texts)
        row = {text: i for i, text in enumerate(texts)}
        ids = [number for number, _ in batch]
        await repository.add(connection, key, ids, vectors[[row[text] for _, text in batch]])
        done += len(batch)
        last = ids[-1]
    # where an earlier run was stopped between dropping and building it, it is built now
    await repository.make_index(connection, key)
    if bulk:
        await repository.analyse(connection, key)
        log.info("embedded %d explanations with %s", done, embedder.title)
    return done


class Worker:
    """Embeds in the background of a server. `fault` says why it is stuck, if it is."""

    def __init__(self, database: Database, embedders: Embedders, every: float) -> None:
        self._database = database
        self._embedders = embedders
        self._every = every
        self._wanted = asyncio.Event()
        self._coverage: dict[int, Coverage] = {}
        self._believed_until = 0.0
        self.fault: str | None = None

    def wake(self) -> None:
        """There is something new to embed."""
        self._wanted.set()

    async def coverage(self) -> dict[int, Coverage]:
        """How many explanations of each source have their vector; counting takes longer than a search, so it is
        done every few seconds at most."""
        if time.monotonic() > self._believed_until:
            async with self._database.snapshot() as session:
                self._coverage = await repository.coverage(session)
            complete = all(one.embedded >= one.total for one in self._coverage.values())
            self._believed_until = time.monotonic() + BELIEVED[complete]
        return self._coverage

    async def run(self) -> None:
        pause = self._every
        while True:
            self._wanted.clear()
            try:
                if await embed_missing(self._database.url, self._embedders):
                    self._believed_until = 0.0
                self.fault, pause = None, self._every
            except EmbedderFault as error:
                self.fault, pause = error.message, min(2 * pause, LONGEST_PAUSE)
                log.warning("explanations wait for their vectors: %s", error.message)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                pause = min(2 * pause, LONGEST_PAUSE)
                log.warning("explanations wait for their vectors, the database does not answer: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)


@asynccontextmanager
async def part(app: FastAPI) -> AsyncIterator[None]:
    """Opens `app.state.embedders` and `app.state.embedding` (a Worker), which works until the end."""
    settings: Settings = app.state.settings
    embedders = open_embedders(settings)
    worker = Worker(app.state.database, embedders, settings.embed_every_seconds)
    app.state.embedders, app.state.embedding = embedders, worker
    task = asyncio.create_task(worker.run()) if settings.embed_every_seconds else None
    try:
        yield
    finally:
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await embedders.close()
