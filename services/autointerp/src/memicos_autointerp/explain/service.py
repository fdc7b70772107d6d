"""Explains a feature: checks the limits, picks the provider and its key, calls the explainer."""

from dataclasses import asdict

from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.explainers import highlighted_tokens
from memicos_autointerp_core.explainers.interface import ActivatingText

from memicos_autointerp.errors import BadInput, ExplanationFailed
from memicos_autointerp.explain.schemas import ExplainRequest, ExplainResponse, Usage
from memicos_autointerp.providers.service import Providers
from memicos_autointerp.settings import Settings


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


async def explain(body: ExplainRequest, settings: Settings, providers: Providers) -> ExplainResponse:
    """An explanation of the feature that has these activations.

    Raises:
        BadInput: the request exceeds a limit, or names an endpoint that is not allowed.
        NoKey: there is no key for the endpoint.
        ExplanationFailed: the language model gave no explanation.
    """
    _check_size(body, settings)
    chosen = providers.pick(body)
    texts = [ActivatingText(activation.tokens, activation.values) for activation in body.activations]
    try:
        explanation = await highlighted_tokens.explain(texts, chosen.provider, chosen.model, settings.explainer_options)
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
