"""The interface of an embedder, its error, and the keys by which embedders are stored and configured."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

MINILM = "minilm"
OPENAI = "openai"


class EmbedderError(Exception):
    """An embedder gave no vectors. `message` is a full sentence that says why; it holds no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Embedder(Protocol):
    """`key` identifies the embedder in settings and in the database, `title` names it on pages.

    `paid`: whether each call costs money at a provider.
    """

    key: str
    title: str
    dimensions: int
    paid: bool

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, shape (texts, dimensions), in the order of `texts`.

        Raises:
            EmbedderError: the texts could not be embedded.
        """
        ...

    async def close(self) -> None: ...
