"""Explains a feature: checks the limits, picks the endpoint and its key, calls the explainer."""

from dataclasses import asdict

import httpx2
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.explainers import highlighted_tokens
from memicos_autointerp_core.explainers.interface import ActivatingText
from memicos_autointerp_core.provider import Endpoint

from memicos_autointerp.errors import BadInput, ExplanationFailed, NoKey
from memicos_autointerp.explain.schemas import ExplainRequest, ExplainResponse, Usage
from memicos_autointerp.settings import Settings, normalize_base_url


def _check_size(body: ExplainRequest, settings: Settings) -> None:
    if len(body.activations) > settings.max_activations:
        raise BadInput(
            f"{len(body.activations)} activations were sent; at most {settings.max_activations} are taken "
            "(AUTOINTERP_MAX_ACTIVATIONS)."
        )
    characters = sum(len(token) for activation in body.activations for token in activation.tokens)
    if characters > settings.max_characters:
        raise BadInput(
            f"The activations have {characters} characters; at most {settings.max_characters} are taken "
            "(AUTOINTERP_MAX_CHARACTERS)."
        )


def pick_endpoint(body: ExplainRequest, settings: Settings) -> Endpoint:
    """The endpoint that answers this request, with the key for it.

    The server's key is sent to the server's endpoint only and an openrouter_key to OpenRouter only. Another endpoint
    must be one that the server allows, and receives the key of the request.

    Raises:
        BadInput: keys, base_url and model contradict one another, or the endpoint or model is not allowed.
        NoKey: no key for the server's own endpoint.
    """
    api_key = body.api_key.get_secret_value().strip() if body.api_key else ""
    openrouter_key = body.openrouter_key.get_secret_value().strip() if body.openrouter_key else ""
    base_url = _normal_url(body.base_url) if body.base_url else None
    if api_key and openrouter_key:
        raise BadInput("Send api_key or openrouter_key, not both.")
    if openrouter_key:
        if settings.openrouter_url is None:
            raise BadInput("This server sends no keys to OpenRouter (AUTOINTERP_OPENROUTER_URL is empty).")
        if base_url not in (None, settings.openrouter_url):
            raise BadInput("openrouter_key goes to OpenRouter only; send the key for base_url as api_key.")
        return _with_model(settings.openrouter_url, openrouter_key, body, settings)
    if base_url is None or base_url == settings.base_url:
        server_key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        if not api_key and not server_key:
            raise NoKey
        if not api_key and body.model and body.model not in settings.allowed_models:
            raise BadInput(
                f"With this server's key, model is one of {', '.join(settings.allowed_models)} (AUTOINTERP_MODELS adds "
                "to them); a request with a key of its own may name any."
            )
        return _with_model(settings.base_url, api_key or server_key, body, settings)
    if base_url not in settings.other_base_urls:
        allowed = ", ".join(sorted({settings.base_url, *settings.other_base_urls}))
        raise BadInput(
            f"base_url is not one that this server allows ({allowed}); AUTOINTERP_ALLOWED_BASE_URLS adds to them."
        )
    if not api_key:
        raise BadInput("base_url needs an api_key beside it: the server's own key does not go there.")
    return _with_model(base_url, api_key, body, settings)


def _normal_url(url: str) -> str:
    try:
        return normalize_base_url(url)
    except ValueError as error:
        raise BadInput(f"base_url: {error}.") from error


def _with_model(base_url: str, key: str, body: ExplainRequest, settings: Settings) -> Endpoint:
    if body.model:
        return Endpoint(base_url, key, body.model)
    if base_url != settings.base_url:
        raise BadInput(f"Name a model of {base_url}: the server's own model belongs to {settings.base_url}.")
    return Endpoint(base_url, key, settings.model)


async def explain(body: ExplainRequest, settings: Settings, http: httpx2.AsyncClient) -> ExplainResponse:
    """An explanation of the feature that has these activations.

    Raises:
        BadInput: the request exceeds a limit, or names an endpoint that is not allowed.
        NoKey: there is no key for the endpoint.
        ExplanationFailed: the language model gave no explanation.
    """
    _check_size(body, settings)
    endpoint = pick_endpoint(body, settings)
    texts = [ActivatingText(activation.tokens, activation.values) for activation in body.activations]
    try:
        explanation = await highlighted_tokens.explain(
            texts, endpoint, http, settings.explainer_options, settings.provider_options
        )
    except ProviderError as error:
        # `from None`: the cause of the error may contain the provider's message, which may contain the key
        raise ExplanationFailed(error) from None
    usage = explanation.usage
    return ExplainResponse(
        explanation=explanation.text,
        method=explanation.method,
        model=explanation.model,
        usage=Usage(**asdict(usage)) if usage else None,
    )
