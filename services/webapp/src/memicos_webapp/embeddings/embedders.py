"""Texts as vectors of unit length, so that texts of like meaning have a large dot product.

`Embedders` holds those that this server can use and remembers the vectors of recent queries.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memicos_webapp.settings import Settings

Vectors = NDArray[np.float32]

MINILM = "minilm"
OPENAI = "openai"


class EmbedderFault(Exception):
    """No vectors, and why; `message` is a full sentence without secrets."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Embedder(Protocol):
    """`key` is what `source.active_embedder` holds, `title` what people call it."""

    key: str
    title: str
    dimensions: int

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text, (texts, dimensions).

        Raises:
            EmbedderFault: there are no vectors for these texts.
        """
        ...

    async def close(self) -> None: ...


class Embedders:
    """The embedders of this server by key. `preferred` is the one that sources without any get."""

    def __init__(self, embedders: Sequence[Embedder], preferred: str, remembered: int) -> None:
        self.by_key = {embedder.key: embedder for embedder in embedders}
        self.preferred = preferred
        self._remembered = remembered
        self._queries: OrderedDict[tuple[str, str], Vectors] = OrderedDict()

    async def query(self, key: str, text: str) -> Vectors:
        """The vector of a query, (dimensions,), from memory where it was asked for before.

        Raises:
            EmbedderFault: this server lacks the embedder, or it failed.
        """
        found = self._queries.get((key, text))
        if found is None:
            embedder = self.by_key.get(key)
            if embedder is None:
                raise EmbedderFault(MISSING.get(key, f"This server has no embedder {key!r}."))
            found = (await embedder.embed([text]))[0]
            self._queries[key, text] = found
            if len(self._queries) > self._remembered:
                self._queries.popitem(last=False)
        else:
            self._queries.move_to_end((key, text))
        return found

    async def close(self) -> None:
        for embedder in self.by_key.values():
            await embedder.close()


MISSING = {OPENAI: "Its explanations were embedded by OpenAI; set OPENAI_API_KEY to search them by meaning."}
"""Why an embedder may be missing."""


def open_embedders(settings: Settings) -> Embedders:
    """The embedders that the settings allow; models are loaded when they are first used."""
    from memicos_webapp.embeddings.minilm import MiniLm
    from memicos_webapp.embeddings.openai_embedder import OpenAiEmbedder

    embedders: list[Embedder] = [MiniLm(settings.embedder_threads)]
    if settings.openai_api_key:
        embedders.append(OpenAiEmbedder(settings.openai_api_key, settings.openai_base_url, settings.openai_seconds))
    return Embedders(embedders, settings.preferred_embedder, settings.queries_remembered)
