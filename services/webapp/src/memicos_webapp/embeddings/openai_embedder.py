"""OpenAI's text-embedding-3-large, cut to 256 dimensions by the provider; any server with the same API."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import SecretStr

from memicos_webapp.embeddings.embedders import OPENAI, EmbedderFault, Vectors

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MODEL = "text-embedding-3-large"
BATCH = 256
"""Texts in one request; the provider takes 2,048."""


class OpenAiEmbedder:
    key = OPENAI
    title = f"OpenAI {MODEL}"
    dimensions = 256

    def __init__(self, api_key: SecretStr, base_url: str, seconds: float) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._seconds = seconds
        self._client: AsyncOpenAI | None = None

    def _open(self) -> "AsyncOpenAI":
        if self._client is None:
            # imported when it is needed: it takes about a second
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(
                api_key=self._api_key.get_secret_value(), base_url=self._base_url, timeout=self._seconds
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        found = [await self._request(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        return np.concatenate(found) if found else np.empty((0, self.dimensions), np.float32)

    async def _request(self, texts: Sequence[str]) -> Vectors:
        client = self._open()
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        try:
            # asked for as plain numbers, which every server of this kind has
            answer = await client.embeddings.create(
                model=MODEL, input=list(texts), dimensions=self.dimensions, encoding_format="float"
            )
        except APITimeoutError as error:
            raise EmbedderFault(f"{self.title} did not answer within {self._seconds:g} s.") from error
        except APIConnectionError as error:
            raise EmbedderFault(f"{self.title} cannot be reached at {self._base_url}.") from error
        except APIStatusError as error:
            reasons = {
                401: "it refused the key: check OPENAI_API_KEY",
                403: "the key may not use it",
                429: "it is over its rate limit or its credit is spent",
            }
            reason = reasons.get(error.status_code, f"it answered with status {error.status_code}")
            raise EmbedderFault(f"{self.title} gave no vectors: {reason}.") from error
        except (OpenAIError, ValueError) as error:
            raise EmbedderFault(f"{self.title} gave an answer that cannot be read.") from error
        return self._vectors(len(texts), [(one.index, one.embedding) for one in answer.data or []])

    def _vectors(self, count: int, found: list[tuple[int, list[float]]]) -> Vectors:
        """The rows in the order of their texts, at unit length."""
        if sorted(index for index, _ in found) != list(range(count)):
            raise EmbedderFault(f"{self.title} gave {len(found)} vectors for {count} texts.")
        rows = [row for _, row in sorted(found, key=lambda one: one[0])]
        if any(len(row) != self.dimensions for row in rows):
            raise EmbedderFault(f"{self.title} gave vectors that have not {self.dimensions} dimensions.")
        vectors = np.array(rows, np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise EmbedderFault(f"{self.title} gave vectors without a direction.")
        return vectors / lengths
