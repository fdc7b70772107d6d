"""The embedders that a program can use, and a bounded cache of the vectors of search queries."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from memicos_embeddings.embedder import MINILM, OPENAI, Embedder, EmbedderError, Vectors

NOT_CONFIGURED = {
    OPENAI: "These explanations were embedded by OpenAI; set OPENAI_API_KEY to search them by meaning.",
}
"""What to do where an embedder that vectors were made with is not configured."""


@dataclass(frozen=True)
class EmbedderConfig:
    """`preferred` is the embedder of sources that have none yet; without a key there is no OpenAI embedder."""

    preferred: str = MINILM
    minilm_threads: int = 2
    openai_api_key: SecretStr | None = None
    openai_base_url: str = "https://api.openai.com/v1"
    openai_timeout_seconds: float = 20
    openai_answer_bytes: int = 32_000_000
    cached_queries: int = 1000


class EmbedderRegistry:
    """Embedders by key, and the vectors of the `cached_queries` most recently used queries."""

    def __init__(self, embedders: Sequence[Embedder], preferred: str, cached_queries: int) -> None:
        self.by_key = {embedder.key: embedder for embedder in embedders}
        self.preferred = preferred
        self._cached_queries = cached_queries
        self._cache: OrderedDict[tuple[str, str], Vectors] = OrderedDict()
        self._running: dict[tuple[str, str], asyncio.Task[Vectors]] = {}

    async def query_vector(self, key: str, text: str, charge: Callable[[], None] | None = None) -> Vectors:
        """The vector of a query, shape (dimensions,), from the cache where it is there.

        Requests for the same query at the same time share one call. `charge` runs before a call of an embedder that
        costs money, and prevents it by raising; a query that is cached or being embedded is not charged.

        Raises:
            EmbedderError: the embedder is not configured, or it failed.
        """
        entry = key, text
        if entry in self._cache:
            self._cache.move_to_end(entry)
            return self._cache[entry]
        if entry not in self._running:
            embedder = self.by_key.get(key)
            if embedder is None:
                raise EmbedderError(NOT_CONFIGURED.get(key, f"The embedder {key!r} is not configured here."))
            if charge and embedder.paid:
                charge()
            task = asyncio.create_task(self._embed_query(embedder, text))
            self._running[entry] = task
            task.add_done_callback(lambda finished: self._finish(entry, finished))
        # one caller that is cancelled must not end the call for the others
        return await asyncio.shield(self._running[entry])

    async def _embed_query(self, embedder: Embedder, text: str) -> Vectors:
        return (await embedder.embed([text]))[0]

    def _finish(self, entry: tuple[str, str], task: asyncio.Task[Vectors]) -> None:
        del self._running[entry]
        if task.cancelled() or task.exception():
            return
        self._cache[entry] = task.result()
        if len(self._cache) > self._cached_queries:
            self._cache.popitem(last=False)

    async def close(self) -> None:
        for task in list(self._running.values()):
            task.cancel()
        for embedder in self.by_key.values():
            await embedder.close()


def open_registry(config: EmbedderConfig) -> EmbedderRegistry:
    """The embedders that `config` allows. Models are loaded and connections opened at the first use."""
    from memicos_embeddings.minilm import MiniLmEmbedder
    from memicos_embeddings.openai_embedder import OpenAiEmbedder

    embedders: list[Embedder] = [MiniLmEmbedder(config.minilm_threads)]
    if config.openai_api_key:
        embedders.append(
            OpenAiEmbedder(
                config.openai_api_key,
                config.openai_base_url,
                config.openai_timeout_seconds,
                config.openai_answer_bytes,
            )
        )
    return EmbedderRegistry(embedders, config.preferred, config.cached_queries)
