"""Embedding explanations: those without a vector, or all of them again with another embedder.

Each batch is committed, so an interrupted run resumes where it stopped. Before many new vectors are written, the index
is dropped, and built afterwards: inserting into an index takes several times as long.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
from memicos_embeddings.embedder import Embedder
from memicos_embeddings.registry import EmbedderRegistry

from memicos_webapp.database.connection import connect
from memicos_webapp.embeddings import repository

log = logging.getLogger(__name__)

BATCH_SIZE = 256
"""Explanations that are read, embedded and committed at a time."""
REBUILD_MINIMUM = 2000
"""The index is rebuilt after this many new vectors, if they are more than those that exist already."""


Pause = Callable[[], Awaitable[None]]
"""Awaited before each batch: returns when the next one may be embedded."""


async def no_pause() -> None:
    pass


@asynccontextmanager
async def _exclusive_connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(url, "memicos-embed")
    try:
        await repository.prepare(connection)
        yield connection
    finally:
        await connection.close()


async def embed_missing(url: str, embedders: EmbedderRegistry, pause: Pause = no_pause) -> int:
    """Embed explanations that have no vector of their source's active embedder; returns how many.

    Sources without an active embedder get the preferred one. Sources whose embedder is not configured here are left as
    they are. Several processes may call this at once: a lock lets one run at a time.

    Raises:
        EmbedderError: an embedder failed. Vectors of committed batches stay.
    """
    async with _exclusive_connection(url) as connection:
        await repository.choose_embedder(connection, embedders.preferred)
        embedded = 0
        for embedder in embedders.by_key.values():
            sources = await repository.sources_of(connection, embedder.key)
            embedded += await _embed_sources(connection, embedder, sources, pause)
        return embedded


async def switch_embedder(url: str, embedders: EmbedderRegistry, key: str) -> int:
    """Embed every source with the embedder `key`, then make it their active one; returns how many vectors were new.

    Searches use the old vectors until then.

    Raises:
        EmbedderError: the embedder failed. No source is switched; vectors of committed batches stay.
    """
    async with _exclusive_connection(url) as connection:
        sources = await repository.all_sources(connection)
        embedded = await _embed_sources(connection, embedders.by_key[key], sources)
        await repository.switch(connection, key, sources)
        return embedded


async def _embed_sources(
    connection: asyncpg.Connection, embedder: Embedder, sources: Sequence[int], pause: Pause = no_pause
) -> int:
    key, embedded, last_id = embedder.key, 0, 0
    missing, present = await repository.counts(connection, key, sources)
    rebuild = missing >= REBUILD_MINIMUM and missing > present
    if rebuild:
        log.info("embedding %d explanations with %s", missing, embedder.title)
        await repository.drop_index(connection, key)
    while missing and (batch := await repository.missing(connection, key, sources, last_id, BATCH_SIZE)):
        await pause()
        texts = list(dict.fromkeys(text for _, text in batch))
        vectors = await embedder.embed(texts)
        row = {text: i for i, text in enumerate(texts)}
        ids = [explanation_id for explanation_id, _ in batch]
        await repository.add(connection, key, ids, vectors[[row[text] for _, text in batch]])
        embedded += len(batch)
        last_id = ids[-1]
    # also builds the index that an interrupted run dropped
    await repository.make_index(connection, key)
    if rebuild:
        await repository.analyse(connection, key)
        log.info("embedded %d explanations with %s", embedded, embedder.title)
    return embedded
