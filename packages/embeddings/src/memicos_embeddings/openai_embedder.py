"""OpenAI's text-embedding-3-large, reduced to 256 dimensions by the provider; any server with the same API."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import SecretStr

from memicos_embeddings.embedder import OPENAI, EmbedderError, Vectors

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MODEL = "text-embedding-3-large"
BATCH_SIZE = 256
"""Texts in one request; the provider accepts 2,048."""

STATUS_REASONS = {
    401: "it refused the key: check OPENAI_API_KEY",
    403: "the key may not use it",
    429: "it is over its rate limit or its credit is spent",
}


class OpenAiEmbedder:
    key = OPENAI
    title = f"OpenAI {MODEL}"
    dimensions = 256
    paid = True

    def __init__(
        self, api_key: SecretStr, base_url: str, timeout_seconds: float, answer_bytes: int = 32_000_000
    ) -> None:
        """
        Args:
            api_key: sent to `base_url` only.
            base_url: of the API, without trailing slash.
            timeout_seconds: longest time of one attempt, until its answer is complete.
            answer_bytes: largest answer, as it is sent and after decompression.
        """
        self._api_key = api_key
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._answer_bytes = answer_bytes
        self._client: AsyncOpenAI | None = None

    def _open(self) -> "AsyncOpenAI":
        if self._client is None:
            # imported at the first use: the import takes about a second
            from memicos_service import answer_limit
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient

            self._client = AsyncOpenAI(
                api_key=self._api_key.get_secret_value(),
                base_url=self._base_url,
                timeout=self._timeout_seconds,
                http_client=DefaultAsyncHttpxClient(
                    # a redirect would send the key and the texts elsewhere
                    follow_redirects=False,
                    headers=answer_limit.HEADERS,
                    event_hooks={"response": [answer_limit.limit_answers(self._answer_bytes)]},
                ),
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        batches = [await self._request(texts[i : i + BATCH_SIZE]) for i in range(0, len(texts), BATCH_SIZE)]
        return np.concatenate(batches) if batches else np.empty((0, self.dimensions), np.float32)

    async def _request(self, texts: Sequence[str]) -> Vectors:
        try:
            client = self._open()
            from memicos_service import answer_limit
            from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError
        except ImportError as error:
            raise EmbedderError(f"{self.title} cannot be used: {error}. Install memicos-embeddings again.") from error

        # loads the library's module
        embeddings = client.embeddings.with_raw_response
        try:
            # of all attempts: the library's own time-out begins again with each byte
            async with asyncio.timeout(self._timeout_seconds * (client.max_retries + 1)):
                # "float", not "base64": every server with this API supports it. The library checks no types.
                response = await embeddings.create(
                    model=MODEL, input=list(texts), dimensions=self.dimensions, encoding_format="float"
                )
            body = json.loads(response.content)
        except (APITimeoutError, TimeoutError) as error:
            raise EmbedderError(f"{self.title} did not answer within {self._timeout_seconds:g} s.") from error
        except APIConnectionError as error:
            raise EmbedderError(f"{self.title} cannot be reached at {self._base_url}.") from error
        except APIStatusError as error:
            if answer_limit.is_too_large(error.response):
                message = f"{self.title} sent an answer of more than {self._answer_bytes} bytes."
                raise EmbedderError(message) from error
            reason = STATUS_REASONS.get(error.status_code, f"it answered with status {error.status_code}")
            raise EmbedderError(f"{self.title} gave no vectors: {reason}.") from error
        # RecursionError: JSON of many levels
        except (OpenAIError, ValueError, RecursionError) as error:
            raise EmbedderError(f"{self.title} sent a response that cannot be read.") from error
        return self._vectors(len(texts), body)

    def _vectors(self, count: int, body: object) -> Vectors:
        """The vectors of a response in the order of their texts, scaled to unit length.

        Raises:
            EmbedderError: it does not have these vectors.
        """
        data = body.get("data") if isinstance(body, Mapping) else None
        if not isinstance(data, list):
            raise EmbedderError(f"{self.title} sent a response that cannot be read.")
        rows = [row for item in data if (row := _row(item))]
        if sorted(index for index, _ in rows) != list(range(count)):
            raise EmbedderError(f"{self.title} gave {len(rows)} vectors for {count} texts.")
        ordered = [vector for _, vector in sorted(rows, key=lambda row: row[0])]
        if any(len(vector) != self.dimensions for vector in ordered):
            raise EmbedderError(f"{self.title} gave vectors that do not have {self.dimensions} dimensions.")
        with np.errstate(over="ignore"):
            vectors = np.array(ordered, np.float64).astype(np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise EmbedderError(f"{self.title} gave a vector of length zero, or one that is not finite.")
        return vectors / norms


def _row(item: object) -> tuple[int, list[float]] | None:
    """The index of a text and its vector; None where an entry of a response has none."""
    index = item.get("index") if isinstance(item, Mapping) else None
    vector = item.get("embedding") if isinstance(item, Mapping) else None
    if type(index) is not int or not isinstance(vector, list):
        return None
    try:
        return (index, [float(value) for value in vector]) if all(type(v) in (int, float) for v in vector) else None
    except OverflowError:
        return None
