"""Batches of requests that a provider answers later, for a lower price: OpenAI's Batch API.

Requests are lines of a JSONL file, which is uploaded; a batch is made of it and asked for until it ends; answers are
lines of another file. A line's `custom_id` is the hash of its request (`ChatRequest.digest`). Source: OpenAI's API
reference, "Batch" and "Files", 2026.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import openai
from openai.types import Batch
from pydantic import SecretStr

from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.chat import Answer, ChatRequest
from memicos_autointerp_core.providers.client import (
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    RETRIED_STATUS,
    chat_parameters,
    open_client,
)
from memicos_autointerp_core.providers.completion_parser import parse_body
from memicos_autointerp_core.providers.faults import http_status, remove_key, status_error
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_autointerp_core.providers.profile import Profile

T = TypeVar("T")
log = logging.getLogger(__name__)


class NotFoundError(ProviderError):
    """The provider has no such batch or file, or has it no longer."""


ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"
"""Time in which a batch is answered, the only one that the API has; the rest of it expires."""
NAME = "memicos_batch"
"""Key of the metadata with the name by which a batch is found again."""
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
LINE_ERRORS = {
    "batch_expired": ("timeout", "the batch expired before this request was answered"),
    "batch_cancelled": ("rejected", "the batch was cancelled before this request was answered"),
}
"""Cause and message by the code of a line of the file of errors that has no response."""
IDENTIFIER_CHARACTERS = 200
"""Longest id of a file or a batch."""


@dataclass(frozen=True)
class BatchState:
    """`answered` and `total`: requests; `problem`: why the provider refused the whole batch, None otherwise."""

    id: str
    status: str
    answered: int
    total: int
    output_file: str | None
    error_file: str | None
    problem: str | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class BatchAnswer:
    """What a batch has for one request: an answer, or the error in its place."""

    digest: str
    answer: Answer | None
    error: ProviderError | None


class Batches:
    """Batches of one profile with one key.

    Args:
        http: connections, from `open_http`; its limit on answers is that of the files of answers.
        options: limits of each call.
        file_seconds: see `BatchOptions`.
    """

    def __init__(
        self,
        profile: Profile,
        key: SecretStr | None,
        http: httpx2.AsyncClient,
        options: ProviderOptions,
        file_seconds: float,
    ) -> None:
        self.profile = profile
        self._key = key.get_secret_value().strip() if key else ""
        self._options = options
        self._file_seconds = file_seconds
        self._client = open_client(profile, self._key, http, options)
        self._headers: dict[str, Any] = {} if self._key else {"extra_headers": {"Authorization": openai.Omit()}}

    def line(self, request: ChatRequest) -> bytes:
        """A request as a line of the file."""
        body = {
            "custom_id": request.digest(self.profile.base_url),
            "method": "POST",
            "url": ENDPOINT,
            "body": chat_parameters(self.profile, request),
        }
        return json.dumps(body, ensure_ascii=True).encode() + b"\n"

    async def submit(self, name: str, file: Path) -> str:
        """Upload a file of requests and make a batch of it; returns the provider's id of the batch.

        A batch of this name that exists is not made again, also where the answer to an earlier attempt was lost.

        Raises:
            ProviderError: the provider takes no batch.
        """

        async def send() -> str:
            return _identifier((await self._client.files.create(file=file, purpose="batch", **self._headers)).id)

        uploaded = await self._call("upload a file", send, self._file_seconds)
        tried = False

        async def find_or_create() -> str:
            nonlocal tried
            # the answer to an earlier attempt may have been lost
            found = await self._find(name) if tried else None
            tried = True
            if found is not None:
                return found
            made = await self._client.batches.create(
                completion_window=WINDOW,
                endpoint=ENDPOINT,
                input_file_id=uploaded,
                metadata={NAME: name},
                **self._headers,
            )
            return _identifier(made.id)

        return await self._call("make a batch", find_or_create, self._file_seconds)

    async def find(self, name: str) -> str | None:
        """The provider's id of the batch of this name; None where it has none.

        Raises:
            ProviderError: the provider does not list its batches.
        """
        return await self._call("list batches", lambda: self._find(name), self._file_seconds)

    async def _find(self, name: str) -> str | None:
        async for batch in self._client.batches.list(limit=100, **self._headers):
            if isinstance(batch.metadata, Mapping) and batch.metadata.get(NAME) == name:
                return _identifier(batch.id)
        return None

    async def state(self, batch: str, retries: int | None = None) -> BatchState:
        """How a batch is.

        Args:
            retries: in place of those of the options.

        Raises:
            ProviderError: the provider does not answer, or knows no such batch.
        """

        async def read() -> BatchState:
            return self._state(await self._client.batches.retrieve(batch, **self._headers))

        return await self._call("read a batch", read, retries=retries)

    async def cancel(self, batch: str) -> BatchState:
        """Answer no further requests of a batch; what is answered is paid.

        Raises:
            ProviderError: the provider does not answer, or knows no such batch.
        """

        async def request() -> BatchState:
            return self._state(await self._client.batches.cancel(batch, **self._headers))

        return await self._call("cancel a batch", request)

    def _state(self, batch: Batch) -> BatchState:
        """Raises AttributeError, TypeError or ValueError where it is no batch: the library checks no types."""
        counts = batch.request_counts
        errors = (batch.errors.data if batch.errors else None) or []
        lines = [f"line {error.line}: {error.message}" if error.line else str(error.message) for error in errors[:3]]
        problem = None
        if batch.status == "failed":
            problem = remove_key(self._key, "; ".join(lines)) or "it gives no reason"
        return BatchState(
            _identifier(batch.id),
            _identifier(batch.status),
            int(counts.completed) + int(counts.failed) if counts else 0,
            int(counts.total) if counts else 0,
            _identifier(batch.output_file_id) if batch.output_file_id else None,
            _identifier(batch.error_file_id) if batch.error_file_id else None,
            problem,
        )

    async def download(self, file: str, target: Path) -> None:
        """Write a file of answers to `target`.

        Raises:
            ProviderError: the provider does not send it, or it is too large.
        """

        async def fetch() -> None:
            async with self._client.files.with_streaming_response.content(file, **self._headers) as response:
                await response.stream_to_file(target)
                if response.status_code != 200:
                    raise ProviderError(
                        "malformed",
                        f"The answers of {self.profile.host} have more than {self._options.answer_bytes:,} bytes "
                        "(AUTOINTERP_BATCH_FILE_BYTES).",
                    )

        await self._call("read a file", fetch, self._file_seconds)

    def answers(self, file: Path, model: str, max_tokens: int) -> Iterator[BatchAnswer]:
        """The lines of a file of answers or errors, at the batch's price.

        Args:
            model, max_tokens: of the requests.
        """
        request = ChatRequest((), model, max_tokens)
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.strip() and (found := self._answer(line, request)):
                    yield found

    def _answer(self, line: str, request: ChatRequest) -> BatchAnswer | None:
        try:
            body = json.loads(line)
        except (ValueError, RecursionError):
            return None
        digest = body.get("custom_id") if isinstance(body, Mapping) else None
        if not isinstance(digest, str):
            return None
        profile, key = self.profile, self._key
        try:
            error, response = body.get("error"), body.get("response")
            if isinstance(error, Mapping):
                cause, message = LINE_ERRORS.get(str(error.get("code")), ("rejected", ""))
                own = remove_key(key, str(error.get("message") or error.get("code")))
                text = f"{profile.host}: {message or own}."
                raise ProviderError("timeout" if cause == "timeout" else "rejected", text)
            if not isinstance(response, Mapping):
                raise ProviderError("malformed", f"The answer of {profile.host} in the batch is not a response.")
            status, content = response.get("status_code"), response.get("body")
            if status != 200:
                detail = content.get("error") if isinstance(content, Mapping) else None
                detail = detail if isinstance(detail, Mapping) else {}
                raise status_error(profile, key, request.model, http_status(status), detail)
            return BatchAnswer(digest, parse_body(content, profile, key, request, profile.batch_price_factor), None)
        except ProviderError as failure:
            return BatchAnswer(digest, None, failure)

    async def _call(
        self, what: str, call: Callable[[], Awaitable[T]], seconds: float | None = None, retries: int | None = None
    ) -> T:
        """The result of a call, which is repeated after lost connections, time-outs, 408, 409, 429 and 5xx.

        Args:
            seconds: longest time of an attempt; None: that of the options.
            retries: further attempts; None: those of the options.

        Raises:
            ProviderError: all attempts failed, or one with another status.
        """
        host = self.profile.host
        seconds = seconds or self._options.timeout_seconds
        attempt = 0
        while True:
            try:
                # the library's own time-out begins again with each byte
                async with asyncio.timeout(seconds):
                    return await call()
            except openai.APIStatusError as failure:
                detail = failure.body if isinstance(failure.body, Mapping) else {}
                error = status_error(self.profile, self._key, "", failure.status_code, detail)
                if failure.status_code == 404:
                    error = NotFoundError(
                        "rejected", f"{host} cannot {what} (status 404): it has no such batch or file."
                    )
                if failure.status_code not in RETRIED_STATUS and failure.status_code < 500:
                    raise error from None
            # httpx2's: while a file is streamed
            except (openai.APITimeoutError, httpx2.TimeoutException):
                error = ProviderError("timeout", f"{host} did not {what} in {self._options.timeout_seconds:g} s.")
            except TimeoutError:
                error = ProviderError("timeout", f"{host} did not {what} in {seconds:g} s.")
            except (openai.APIConnectionError, httpx2.TransportError):
                error = ProviderError("unreachable", f"{host} cannot be reached to {what}.")
            # RecursionError: JSON of many levels
            except (openai.APIResponseValidationError, ValueError, AttributeError, TypeError, RecursionError):
                raise ProviderError("malformed", f"{host} has no batches: its answer to {what} is not one.") from None
            if attempt >= (self._options.retries if retries is None else retries):
                raise error
            await asyncio.sleep(min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1))
            attempt += 1


def _identifier(text: object) -> str:
    """An id or a status of a provider. Raises ValueError where it is none."""
    if isinstance(text, str) and text.isascii() and text.isprintable() and 0 < len(text) <= IDENTIFIER_CHARACTERS:
        return text
    raise ValueError("no id")
