"""Calls of a language model behind an OpenAI-compatible endpoint. Every failure is a `ProviderError`."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
import openai
from memicos_service import answer_limit
from pydantic import SecretStr

from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.answer_cache import AnswerCache
from memicos_autointerp_core.providers.chat import Answer, ChatRequest
from memicos_autointerp_core.providers.completion_parser import parse_completion
from memicos_autointerp_core.providers.faults import malformed, status_error
from memicos_autointerp_core.providers.limits import rate_limit_headers
from memicos_autointerp_core.providers.limits.rate_limiter import RateLimiter
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_autointerp_core.providers.profile import Profile
from memicos_autointerp_core.providers.shared_calls import SharedCalls

log = logging.getLogger(__name__)

IGNORED_VARIABLES = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS", "OPENAI_ADMIN_KEY")
"""The openai library would send these to every endpoint, also to one that a request names."""
CHARACTERS_PER_TOKEN = 4
"""Estimate of the tokens of a prompt before the provider has counted them."""
RETRIED_STATUS = frozenset({408, 409, 429})
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
"""Waits between attempts double from the first to the longest, less up to a half at random."""


@asynccontextmanager
async def open_http(
    options: ProviderOptions, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client that all providers share. It stores no cookies, follows no redirects and ends too large answers.

    Args:
        transport: sends the requests; None: connections to the hosts of their URLs.
    """
    for name in IGNORED_VARIABLES:
        os.environ.pop(name, None)
    async with httpx2.AsyncClient(
        timeout=options.timeout_seconds,
        headers=answer_limit.HEADERS,
        event_hooks={"response": [answer_limit.limit_answers(options.answer_bytes)]},
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        # the rate limiter of each provider bounds the connections
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        transport=transport,
    ) as http:
        yield http


def open_client(profile: Profile, key: str, http: httpx2.AsyncClient, options: ProviderOptions) -> openai.AsyncOpenAI:
    """The library's client of a profile; it repeats nothing itself."""
    return openai.AsyncOpenAI(
        base_url=profile.base_url,
        api_key=key or "none",
        http_client=http,
        timeout=options.timeout_seconds,
        max_retries=0,
    )


def chat_parameters(profile: Profile, request: ChatRequest) -> dict[str, Any]:
    """The body of a chat completion's request, with what the profile supports."""
    parameters: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        profile.max_tokens_name: request.max_tokens,
    }
    if request.temperature is not None:
        parameters["temperature"] = request.temperature
    if request.seed is not None:
        parameters["seed"] = request.seed
    if request.top_logprobs is not None and profile.logprobs:
        parameters |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.json_schema is not None and profile.structured_output:
        schema = {"name": "answer", "strict": True, "schema": request.json_schema}
        parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
    return parameters


class _Retry(Exception):
    """An attempt failed in a way that another one may not. `pause`: seconds that the provider asked for."""

    def __init__(self, error: ProviderError, pause: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.pause = pause


class Provider:
    """One profile with one key. Calls share its rate limiter, so make one per key and keep it.

    Args:
        profile: the endpoint.
        key: sent to the profile's base URL only; None where it needs none.
        http: connections, from `open_http`.
        options: limits of each call.
        cache: where answers are stored and found; None stores none.
        ready: awaited before each attempt, outside of its time-out, for an endpoint that may have to be started; what
            it raises, `chat` raises.
    """

    def __init__(
        self,
        profile: Profile,
        key: SecretStr | None,
        http: httpx2.AsyncClient,
        options: ProviderOptions | None = None,
        cache: AnswerCache | None = None,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.profile = profile
        self._key = key.get_secret_value().strip() if key else ""
        self._options = options or ProviderOptions()
        self._cache = cache
        self._ready = ready
        self._limiter = RateLimiter(profile.limits)
        self._calls = SharedCalls()
        self._headers: dict[str, Any] = {} if self._key else {"extra_headers": {"Authorization": openai.Omit()}}
        self._client = open_client(profile, self._key, http, self._options)

    async def stored(self, request: ChatRequest) -> Answer | None:
        """The stored answer to a request; None where there is none, or no cache.

        Raises:
            CacheError: stored answers cannot be read.
        """
        return await self._cache.get(request.digest(self.profile.base_url)) if self._cache else None

    async def chat(self, request: ChatRequest) -> Answer:
        """The model's complete answer: the stored one if there is one, otherwise one that is paid for, and stored.

        With a cache, equal requests at the same time are sent once, and share the answer or the failure. Without one
        each is sent: nothing says that equal requests have equal answers.

        Raises:
            ProviderError: there was no answer, or it was an error, or it was not complete. Nothing is stored.
            CacheError: stored answers can be neither read nor written.
        """
        cache = self._cache
        if cache is None:
            return await self._ask(request)
        digest = request.digest(self.profile.base_url)
        return await self._calls.answer(digest, lambda: self._stored_or_asked(request, digest, cache))

    async def _stored_or_asked(self, request: ChatRequest, digest: str, cache: AnswerCache) -> Answer:
        stored = await cache.get(digest)
        if stored is not None:
            return stored
        answer = await self._ask(request)
        # shielded: a cancelled call has been paid all the same
        await asyncio.shield(cache.put(digest, answer))
        return answer

    async def _ask(self, request: ChatRequest) -> Answer:
        try:
            async with asyncio.timeout(self._options.deadline_seconds):
                return await self._attempts(request)
        except TimeoutError:
            error = ProviderError(
                "timeout",
                f"{self.profile.host} gave no answer in {self._options.deadline_seconds:g} s, all attempts together.",
                "deadline_seconds",
            )
        except ProviderError as failure:
            error = failure
        log.warning("%s: %s", error.cause, error.message)
        # `from None`: the library's exception may contain the provider's message, which may contain the key
        raise error from None

    async def _attempts(self, request: ChatRequest) -> Answer:
        attempt = 0
        while True:
            try:
                return await self._attempt(request)
            except _Retry as retry:
                if retry.pause is not None and retry.pause > self._options.longest_pause_seconds:
                    raise retry.error from None
                if retry.pause:
                    self._limiter.pause(retry.pause)
                if attempt >= self._options.retries:
                    raise retry.error from None
                wait = min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1)
                attempt += 1
            await asyncio.sleep(wait)

    async def _attempt(self, request: ChatRequest) -> Answer:
        tokens = request.characters // CHARACTERS_PER_TOKEN + request.max_tokens
        async with self._limiter.call(tokens):
            if self._ready is not None:
                await self._ready()
            try:
                # the library's own time-out begins again with each byte
                async with asyncio.timeout(self._options.timeout_seconds):
                    raw = await self._client.chat.completions.with_raw_response.create(
                        **chat_parameters(self.profile, request), **self._headers
                    )
                self._pause_by(raw.headers)
                answer = parse_completion(raw.parse(), self.profile, self._key, request)
            except (openai.APITimeoutError, TimeoutError):
                attempts = self._options.retries + 1
                message = (
                    f"{self.profile.host} gave no answer in {self._options.timeout_seconds:g} s, {attempts} times."
                )
                raise _Retry(ProviderError("timeout", message, "timeout_seconds")) from None
            except openai.APIConnectionError as failure:
                reason = type(failure.__cause__).__name__ if failure.__cause__ else "no connection"
                error = ProviderError("unreachable", f"No answer from {self.profile.host}: {reason}.")
                raise _Retry(error) from None
            except openai.APIStatusError as failure:
                raise self._status(failure, request) from None
            # RecursionError: JSON of many levels
            except (openai.APIResponseValidationError, ValueError, RecursionError):
                raise malformed(self.profile) from None
        if answer.usage:
            self._limiter.used(tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        return answer

    def _status(self, failure: openai.APIStatusError, request: ChatRequest) -> Exception:
        if answer_limit.is_too_large(failure.response):
            message = f"The answer of {self.profile.host} is larger than {self._options.answer_bytes} bytes."
            return ProviderError("malformed", message, "answer_bytes")
        pause = rate_limit_headers.retry_after(failure.response.headers)
        detail = failure.body if isinstance(failure.body, Mapping) else {}
        error = status_error(self.profile, self._key, request.model, failure.status_code, detail, pause)
        repeatable = failure.status_code in RETRIED_STATUS or failure.status_code >= 500
        if not repeatable or error.cause == "payment_required":
            return error
        return _Retry(error, pause)

    def _pause_by(self, headers: Mapping[str, str]) -> None:
        """Begin no call before the provider takes it, where its headers say that a limit is used up."""
        seconds = rate_limit_headers.exhausted_for(headers)
        if seconds:
            self._limiter.pause(min(seconds, self._options.longest_pause_seconds))
