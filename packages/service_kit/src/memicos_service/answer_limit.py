"""A limit on the size of answers of language model providers, while they are read and after decompression."""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2

HEADERS = {"Accept-Encoding": "gzip, deflate"}
"""Headers of requests: the encodings that `limit_answers` decodes."""
TOO_LARGE = "memicos_answer_too_large"
ENCODINGS = ("gzip", "x-gzip", "deflate")


class DamagedAnswerError(ValueError):
    """A compressed answer cannot be decompressed. The openai library passes it on and does not ask again."""


def limit_answers(max_bytes: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A response hook of httpx2's clients that ends answers of more than `max_bytes`, sent or decompressed.

    The connection of a longer answer is closed. The response becomes one with status 413 and an incomplete body, which
    the openai library does not request again, as it does after an exception of httpx2: each attempt may be paid for.
    Reading a compressed answer that is damaged raises DamagedAnswerError.
    """

    async def limit(response: httpx2.Response) -> None:
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        encoding = response.headers.pop("content-encoding", "identity").strip().lower()
        response.stream = _LimitedStream(response, stream, encoding in ENCODINGS, max_bytes)

    return limit


def is_too_large(response: httpx2.Response) -> bool:
    """Whether the answer was ended because it was larger than the limit."""
    return TOO_LARGE in response.extensions


class _LimitedStream(httpx2.AsyncByteStream):
    def __init__(
        self, response: httpx2.Response, stream: httpx2.AsyncByteStream, compressed: bool, max_bytes: int
    ) -> None:
        self._response = response
        self._stream = stream
        self._max_bytes = max_bytes
        # 32: the header says whether it is gzip or zlib
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32) if compressed else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = written = 0
        async for chunk in self._stream:
            received += len(chunk)
            # one byte more than the limit shows that there are more
            decoded = self._decode(chunk, self._max_bytes - written + 1)
            written += len(decoded)
            if max(received, written) > self._max_bytes:
                self._response.status_code = 413
                self._response.extensions[TOO_LARGE] = True
                return
            yield decoded

    def _decode(self, chunk: bytes, max_bytes: int) -> bytes:
        if self._decoder is None:
            return chunk
        try:
            return self._decoder.decompress(chunk, max_bytes)
        except zlib.error as error:
            raise DamagedAnswerError(f"the answer cannot be decompressed ({error})") from error

    async def aclose(self) -> None:
        await self._stream.aclose()
