"""Calls of a language model behind an OpenAI-compatible endpoint. Every failure is a `ProviderError`."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from memicos_service import answer_limit
from openai.types.chat import ChatCompletion

from memicos_autointerp_core.errors import ProviderCause, ProviderError

log = logging.getLogger(__name__)

IGNORED_VARIABLES = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS", "OPENAI_ADMIN_KEY")
"""The openai library would send these to every endpoint, also to one that a request names."""
MAX_DETAIL_CHARACTERS = 300
"""Longest part of a provider's own error message that is passed on."""
MAX_TOKEN_COUNT = 1_000_000_000
"""A provider that counts more tokens counts wrongly."""
KEY_PIECE_CHARACTERS = 6
"""A word of a provider's message that contains this many consecutive characters of the key is removed."""


@dataclass(frozen=True)
class Endpoint:
    """`base_url` without trailing slash; `model` as the endpoint names it."""

    base_url: str
    key: str = field(repr=False)
    model: str

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc


@dataclass(frozen=True)
class ProviderOptions:
    """Limits of one call.

    Attributes:
        timeout_seconds: longest wait for one attempt.
        retries: further attempts after a lost connection, a time-out, 408, 409, 429 or 5xx.
        deadline_seconds: longest time over all attempts and the waits between them.
        max_tokens: most tokens that the model may generate.
        temperature: sampling temperature; None does not send one, which some models require.
        answer_bytes: largest answer, as it is sent and after decompression.
    """

    timeout_seconds: float = 60
    retries: int = 2
    deadline_seconds: float = 150
    max_tokens: int = 2048
    temperature: float | None = None
    answer_bytes: int = 4_000_000


@dataclass(frozen=True)
class TokenUsage:
    """Tokens as the provider counted them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Completion:
    """`model` as the provider names it; `usage` is None where the provider does not count tokens."""

    text: str
    model: str
    usage: TokenUsage | None


@asynccontextmanager
async def open_http(options: ProviderOptions) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client that all calls share. It stores no cookies, follows no redirects and ends too large answers."""
    for name in IGNORED_VARIABLES:
        os.environ.pop(name, None)
    async with httpx2.AsyncClient(
        timeout=options.timeout_seconds,
        headers=answer_limit.HEADERS,
        event_hooks={"response": [answer_limit.limit_answers(options.answer_bytes)]},
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    ) as http:
        yield http


async def complete(
    endpoint: Endpoint, system: str, user: str, http: httpx2.AsyncClient, options: ProviderOptions
) -> Completion:
    """The model's complete answer to one system and one user message.

    Raises:
        ProviderError: there was no answer, or it was an error, or it was not complete.
    """
    try:
        async with asyncio.timeout(options.deadline_seconds):
            response = await _request(endpoint, system, user, http, options)
        return _parse(response, endpoint, options)
    except TimeoutError:
        error = ProviderError(
            "timeout",
            f"{endpoint.host} gave no answer in {options.deadline_seconds:g} s, all attempts together.",
            "deadline_seconds",
        )
    except openai.APITimeoutError:
        error = ProviderError(
            "timeout",
            f"{endpoint.host} gave no answer in {options.timeout_seconds:g} s, {options.retries + 1} times.",
            "timeout_seconds",
        )
    except openai.APIConnectionError as failure:
        reason = type(failure.__cause__).__name__ if failure.__cause__ else "no connection"
        error = ProviderError("unreachable", f"No answer from {endpoint.host}: {reason}.")
    except openai.APIStatusError as failure:
        if answer_limit.is_too_large(failure.response):
            message = f"The answer of {endpoint.host} is larger than {options.answer_bytes} bytes."
            error = ProviderError("malformed", message, "answer_bytes")
        else:
            detail = failure.body if isinstance(failure.body, Mapping) else {}
            error = _status_error(endpoint, failure.status_code, detail)
    # RecursionError: JSON of many levels
    except (openai.APIResponseValidationError, ValueError, RecursionError):
        error = _malformed(endpoint)
    except ProviderError as failure:
        error = failure
    # `from None`: the library's exception may contain the provider's message, which may contain the key
    log.warning("%s: %s", error.cause, error.message)
    raise error from None


async def _request(
    endpoint: Endpoint, system: str, user: str, http: httpx2.AsyncClient, options: ProviderOptions
) -> ChatCompletion:
    client = openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.key,
        http_client=http,
        timeout=options.timeout_seconds,
        max_retries=options.retries,
    )
    parameters: dict[str, Any] = (
        # OpenAI's reasoning models refuse max_tokens; many other servers support only max_tokens
        {"max_completion_tokens": options.max_tokens}
        if endpoint.host == "api.openai.com"
        else {"max_tokens": options.max_tokens}
    )
    if options.temperature is not None:
        parameters["temperature"] = options.temperature
    return await client.chat.completions.create(
        model=endpoint.model,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
        **parameters,
    )


def _parse(response: object, endpoint: Endpoint, options: ProviderOptions) -> Completion:
    """The library does not validate responses: each field here may be missing or of another type."""
    body = response.to_dict(warnings=False) if isinstance(response, ChatCompletion) else None
    if not isinstance(body, Mapping):
        raise _malformed(endpoint)
    # OpenRouter sends status 200 with an error inside
    _raise_inner_error(body, endpoint)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise _malformed(endpoint)
    _raise_inner_error(choice, endpoint)
    reason = choice.get("finish_reason")
    if reason == "content_filter" or message.get("refusal"):
        raise ProviderError("filtered", f"The model behind {endpoint.host} refused to answer.")
    if reason == "length":
        raise ProviderError("truncated", f"The answer was cut off after {options.max_tokens} tokens.", "max_tokens")
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        raise _malformed(endpoint)
    if not text or not text.strip():
        raise ProviderError("empty", f"The model behind {endpoint.host} gave an empty answer.")
    if not _is_unicode(text):
        raise _malformed(endpoint)
    if endpoint.key in text:
        raise ProviderError("malformed", f"The answer of {endpoint.host} contains the key.")
    return Completion(text, _model(body, endpoint), _usage(body))


def _is_unicode(text: str) -> bool:
    """Whether the text has no half of a surrogate pair, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _model(body: Mapping[str, object], endpoint: Endpoint) -> str:
    """The model's name as the provider gives it, or that of the request where it gives none that can be shown."""
    model = body.get("model")
    usable = isinstance(model, str) and 0 < len(model) <= MAX_DETAIL_CHARACTERS and _is_unicode(model)
    return model if usable and isinstance(model, str) and endpoint.key not in model else endpoint.model


def _usage(body: Mapping[str, object]) -> TokenUsage | None:
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return None
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    numbers = [count for count in counts if type(count) is int and 0 <= count <= MAX_TOKEN_COUNT]
    return TokenUsage(*numbers) if len(numbers) == len(counts) else None


def _raise_inner_error(part: Mapping[str, object], endpoint: Endpoint) -> None:
    error = part.get("error")
    if isinstance(error, Mapping):
        code = error.get("code")
        raise _status_error(endpoint, code if isinstance(code, int) else 500, error)
    if error:
        raise _status_error(endpoint, 500, {"message": error})


def _malformed(endpoint: Endpoint) -> ProviderError:
    return ProviderError("malformed", f"The answer of {endpoint.host} is not a chat completion.")


def _status_error(endpoint: Endpoint, status: int, detail: Mapping[str, object]) -> ProviderError:
    """The error for an HTTP status, with the provider's own message without the words that contain the key."""
    host = endpoint.host
    cause: ProviderCause
    match status:
        case 401 | 403:
            # such messages often repeat the key, or half of it
            return ProviderError("unauthorized", f"{host} does not accept the key (status {status}).")
        case 402:
            cause, summary = "payment_required", f"{host} says that the account has no credit left"
        case 404:
            model = remove_key(endpoint.key, endpoint.model)
            cause, summary = "unknown_model", f"{host} does not know the model {model}"
        case 429 if "insufficient_quota" in (detail.get("code"), detail.get("type")):
            cause, summary = "payment_required", f"{host} says that the account's quota is used up"
        case 429:
            cause, summary = "rate_limited", f"{host} limits the rate of requests; try again later"
        case _ if status < 400:
            cause, summary = "malformed", f"{host} answered with status {status}, not with a completion"
        case _ if status < 500:
            cause, summary = "rejected", f"{host} rejected the request (status {status})"
        case _:
            cause, summary = "provider_failed", f"{host} failed (status {status})"
    message = detail.get("message")
    own_message = remove_key(endpoint.key, message) if isinstance(message, str) else ""
    return ProviderError(cause, f"{summary}: {own_message}" if own_message else f"{summary}.")


def remove_key(key: str, text: str) -> str:
    """`text` on one line, cut to MAX_DETAIL_CHARACTERS, with every word that contains a part of the key replaced."""
    size = min(KEY_PIECE_CHARACTERS, len(key))
    pieces = {key[start : start + size] for start in range(len(key) - size + 1)}
    text = text.encode(errors="replace").decode()
    safe_words = ("[…]" if any(piece in word for piece in pieces) else word for word in text.split())
    line = " ".join(safe_words)
    return line if len(line) <= MAX_DETAIL_CHARACTERS else line[:MAX_DETAIL_CHARACTERS] + "…"
