"""Reads a chat completion. The openai library does not validate responses: each field may be missing or of another
type."""

import math
from collections.abc import Mapping

from openai.types.chat import ChatCompletion

from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.chat import Answer, ChatRequest, TokenLogprob, TokenUsage
from memicos_autointerp_core.providers.faults import (
    MAX_DETAIL_CHARACTERS,
    http_status,
    malformed,
    reveals_key,
    status_error,
)
from memicos_autointerp_core.providers.profile import Profile

MAX_TOKEN_COUNT = 1_000_000_000
"""A provider that counts more tokens counts wrongly."""


def parse_completion(response: object, profile: Profile, key: str, request: ChatRequest) -> Answer:
    """The answer in a provider's response.

    Raises:
        ProviderError: it is an error, a refusal, cut off, empty, or no chat completion.
    """
    return parse_body(
        response.to_dict(warnings=False) if isinstance(response, ChatCompletion) else None, profile, key, request
    )


def parse_body(body: object, profile: Profile, key: str, request: ChatRequest, price_factor: float = 1.0) -> Answer:
    """The answer in the JSON of a chat completion.

    Args:
        price_factor: of the profile's prices.

    Raises:
        ProviderError: see `parse_completion`.
    """
    if not isinstance(body, Mapping):
        raise malformed(profile)
    # OpenRouter sends status 200 with an error inside
    _raise_inner_error(body, profile, key, request)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise malformed(profile)
    _raise_inner_error(choice, profile, key, request)
    usage = _usage(body)
    cost = profile.cost(request.model, usage.prompt_tokens, usage.completion_tokens) if usage else None
    cost = None if cost is None else cost * price_factor
    reason = choice.get("finish_reason")
    if reason == "content_filter" or message.get("refusal"):
        raise ProviderError("filtered", f"The model behind {profile.host} refused to answer.", paid=cost)
    if reason == "length":
        cut = f"The answer was cut off after {request.max_tokens} tokens."
        raise ProviderError("truncated", cut, "max_tokens", paid=cost)
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        raise malformed(profile)
    if not text or not text.strip():
        raise ProviderError("empty", f"The model behind {profile.host} gave an empty answer.", paid=cost)
    if not _is_unicode(text):
        raise malformed(profile)
    if reveals_key(key, text):
        raise ProviderError("malformed", f"The answer of {profile.host} contains the key.", paid=cost)
    return Answer(text, _model(body, key, request.model), usage, cost, _logprobs(choice, request))


def _is_unicode(text: str) -> bool:
    """Whether the text has no half of a surrogate pair, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _model(body: Mapping[str, object], key: str, requested: str) -> str:
    """The model's name as the provider gives it, or that of the request where it gives none that can be shown."""
    model = body.get("model")
    usable = isinstance(model, str) and 0 < len(model) <= MAX_DETAIL_CHARACTERS and _is_unicode(model)
    return model if usable and isinstance(model, str) and not reveals_key(key, model) else requested


def _usage(body: Mapping[str, object]) -> TokenUsage | None:
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return None
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    numbers = [count for count in counts if type(count) is int and 0 <= count <= MAX_TOKEN_COUNT]
    return TokenUsage(*numbers) if len(numbers) == len(counts) else None


def _logprobs(choice: Mapping[str, object], request: ChatRequest) -> tuple[TokenLogprob, ...] | None:
    """The log probabilities, or None where one of them is missing or not a number: part of them is misleading."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if request.top_logprobs is None or not isinstance(content, list):
        return None
    tokens: list[TokenLogprob] = []
    for item in content:
        own = _token(item)
        top = item.get("top_logprobs") if isinstance(item, Mapping) else None
        alternatives = [_token(entry) for entry in top] if isinstance(top, list) else []
        if own is None or None in alternatives:
            return None
        tokens.append(TokenLogprob(*own, tuple(pair for pair in alternatives if pair)))
    return tuple(tokens)


def _token(item: object) -> tuple[str, float] | None:
    token = item.get("token") if isinstance(item, Mapping) else None
    logprob = item.get("logprob") if isinstance(item, Mapping) else None
    if not isinstance(token, str) or not isinstance(logprob, int | float):
        return None
    return (token, float(logprob)) if _is_unicode(token) and math.isfinite(logprob) else None


def _raise_inner_error(part: Mapping[str, object], profile: Profile, key: str, request: ChatRequest) -> None:
    error = part.get("error")
    if isinstance(error, Mapping):
        raise status_error(profile, key, request.model, http_status(error.get("code")), error)
    if error:
        raise status_error(profile, key, request.model, 500, {"message": error})
