"""Asks a language model behind an OpenAI-compatible endpoint; whatever fails there is a ProviderFault."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import openai
from openai.types.chat import ChatCompletion

from memicos_autointerp.errors import Cause, ProviderFault
from memicos_autointerp.settings import Settings

log = logging.getLogger(__name__)

AMBIENT = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS", "OPENAI_ADMIN_KEY")
LONGEST_DETAIL = 300
SHORTEST_PIECE = 6
"""A word of a provider that has this many characters of the key in a row is not repeated."""


@dataclass(frozen=True)
class Endpoint:
    base_url: str
    key: str = field(repr=False)
    model: str

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc


@dataclass(frozen=True)
class Answer:
    """`usage`: tokens of the prompt and of the answer, None where the provider does not count."""

    text: str
    model: str
    usage: tuple[int, int] | None


@asynccontextmanager
async def connections(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """The connections that requests share; they carry neither cookies nor redirects from one to another."""
    for name in AMBIENT:
        # the library would send these to every endpoint, also to one that a request names
        os.environ.pop(name, None)
    async with httpx2.AsyncClient(
        timeout=settings.timeout_seconds,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    ) as http:
        yield http


async def ask(endpoint: Endpoint, system: str, user: str, settings: Settings, http: httpx2.AsyncClient) -> Answer:
    """The model's whole answer to one message.

    Raises:
        ProviderFault: it did not come, is an error, or is not whole.
    """
    try:
        async with asyncio.timeout(settings.deadline_seconds):
            completion = await _complete(endpoint, system, user, settings, http)
        return _read(completion, endpoint, settings)
    except TimeoutError:
        fault = ProviderFault(
            "timeout",
            f"{endpoint.host} gave no answer in {settings.deadline_seconds:g} s, all attempts together "
            "(AUTOINTERP_DEADLINE_SECONDS).",
        )
    except openai.APITimeoutError:
        fault = ProviderFault(
            "timeout",
            f"{endpoint.host} gave no answer in {settings.timeout_seconds:g} s (AUTOINTERP_TIMEOUT_SECONDS), "
            f"{settings.retries + 1} times.",
        )
    except openai.APIConnectionError as error:
        reason = type(error.__cause__).__name__ if error.__cause__ else "no connection"
        fault = ProviderFault("unreachable", f"No answer from {endpoint.host}: {reason}.")
    except openai.APIStatusError as error:
        detail = error.body if isinstance(error.body, Mapping) else {}
        fault = _refusal(endpoint, error.status_code, detail)
    except (openai.APIResponseValidationError, ValueError):
        fault = _malformed(endpoint)
    except ProviderFault as error:
        fault = error
    # `from None`: what the library raised may hold the provider's words, and they the key
    log.warning("%s: %s", fault.cause, fault.message)
    raise fault from None


async def _complete(
    endpoint: Endpoint, system: str, user: str, settings: Settings, http: httpx2.AsyncClient
) -> ChatCompletion:
    client = openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.key,
        http_client=http,
        timeout=settings.timeout_seconds,
        max_retries=settings.retries,
    )
    limit: dict[str, Any] = (
        # OpenAI's reasoning models refuse max_tokens, many other servers know nothing else
        {"max_completion_tokens": settings.max_tokens}
        if endpoint.host == "api.openai.com"
        else {"max_tokens": settings.max_tokens}
    )
    if settings.temperature is not None:
        limit["temperature"] = settings.temperature
    return await client.chat.completions.create(
        model=endpoint.model,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
        **limit,
    )


def _read(completion: object, endpoint: Endpoint, settings: Settings) -> Answer:
    """The library does not check what it received: each field here may be missing or of another type."""
    body = completion.to_dict(warnings=False) if isinstance(completion, ChatCompletion) else None
    if not isinstance(body, Mapping):
        raise _malformed(endpoint)
    # OpenRouter answers 200 with an error inside
    _raise_inner_error(body, endpoint)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise _malformed(endpoint)
    _raise_inner_error(choice, endpoint)
    reason = choice.get("finish_reason")
    if reason == "content_filter" or message.get("refusal"):
        raise ProviderFault("filtered", f"The model behind {endpoint.host} refused to answer.")
    if reason == "length":
        words = f"The answer was cut off after {settings.max_tokens} tokens (AUTOINTERP_MAX_TOKENS)."
        raise ProviderFault("truncated", words)
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        raise _malformed(endpoint)
    if not text or not text.strip():
        raise ProviderFault("empty", f"The model behind {endpoint.host} answered with nothing.")
    model = body.get("model")
    return Answer(text, model if isinstance(model, str) and model else endpoint.model, _usage(body))


def _usage(body: Mapping[str, object]) -> tuple[int, int] | None:
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return None
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    return cast(tuple[int, int], counts) if all(isinstance(count, int) for count in counts) else None


def _raise_inner_error(part: Mapping[str, object], endpoint: Endpoint) -> None:
    error = part.get("error")
    if isinstance(error, Mapping):
        code = error.get("code")
        raise _refusal(endpoint, code if isinstance(code, int) else 500, error)
    if error:
        raise _refusal(endpoint, 500, {"message": error})


def _malformed(endpoint: Endpoint) -> ProviderFault:
    return ProviderFault("malformed", f"The answer of {endpoint.host} is not a chat completion.")


def _refusal(endpoint: Endpoint, status: int, detail: Mapping[str, object]) -> ProviderFault:
    """The fault for an error status; the provider's own words go with it, less those that hold the key."""
    host = endpoint.host
    cause: Cause
    match status:
        case 401 | 403:
            # such answers like to repeat the key, or half of it
            return ProviderFault("unauthorized", f"{host} does not accept the key (status {status}).")
        case 402:
            cause, words = "payment_required", f"{host} says that the account has no credit left"
        case 404:
            model = without(endpoint.key, endpoint.model)
            cause, words = "unknown_model", f"{host} does not know the model {model}"
        case 429 if "insufficient_quota" in (detail.get("code"), detail.get("type")):
            cause, words = "payment_required", f"{host} says that the account's quota is used up"
        case 429:
            cause, words = "rate_limited", f"{host} limits the rate of requests; try again later"
        case _ if status < 400:
            cause, words = "malformed", f"{host} answered with status {status}, not with a completion"
        case _ if status < 500:
            cause, words = "rejected", f"{host} rejected the request (status {status})"
        case _:
            cause, words = "provider_failed", f"{host} failed (status {status})"
    message = detail.get("message")
    said = without(endpoint.key, message) if isinstance(message, str) else ""
    return ProviderFault(cause, f"{words}: {said}" if said else f"{words}.")


def without(key: str, text: str) -> str:
    """`text` on one line and cut short, without the words that hold a piece of the key."""
    size = min(SHORTEST_PIECE, len(key))
    pieces = {key[start : start + size] for start in range(len(key) - size + 1)}
    words = ("[…]" if any(piece in word for piece in pieces) else word for word in text.split())
    line = " ".join(words)
    return line if len(line) <= LONGEST_DETAIL else line[:LONGEST_DETAIL] + "…"
