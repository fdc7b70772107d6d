"""Explains a feature: checks the limits, picks the explainer, the provider and its key, and calls the explainer."""

from collections.abc import Sequence
from dataclasses import asdict

from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.explainers.interface import ActivatingText, Evidence, MissingEvidence
from memicos_autointerp_core.explainers.registry import EXPLAINERS, find_explainer

from memicos_autointerp.errors import BadInput, ExplanationFailed
from memicos_autointerp.explain.schemas import Activation, ExplainRequest, ExplainResponse, Usage
from memicos_autointerp.limits import check_size
from memicos_autointerp.providers.service import Providers
from memicos_autointerp.settings import Settings


def _texts(activations: Sequence[Activation]) -> list[ActivatingText]:
    return [ActivatingText(item.tokens, item.values, item.dfa_values, item.dfa_target_index) for item in activations]


async def explain(body: ExplainRequest, settings: Settings, providers: Providers) -> ExplainResponse:
    """An explanation of the feature that has these activations.

    Raises:
        BadInput: the request exceeds a limit, names an explainer or endpoint that is not there or not allowed, or
            lacks what the explainer needs.
        NoKey: there is no key for the endpoint.
        ExplanationFailed: the language model gave no explanation.
    """
    check_size([*body.activations, *body.negatives], body.top_logits, settings)
    explainer = find_explainer(body.explainer)
    if explainer is None:
        raise BadInput(f"There is no explainer {body.explainer!r} here, only {', '.join(EXPLAINERS)}.")
    chosen = providers.pick(body)
    evidence = Evidence(_texts(body.activations), body.top_logits, _texts(body.negatives))
    try:
        explanation = await explainer.explain(evidence, chosen.provider, chosen.model, settings.explainer_options)
    except MissingEvidence as error:
        raise BadInput(str(error)) from error
    except ProviderError as error:
        # `from None`: the cause of the error may contain the provider's message, which may contain the key
        raise ExplanationFailed(error) from None
    usage = explanation.usage
    return ExplainResponse(
        explanation=explanation.text,
        method=explanation.method,
        template_version=explanation.template_version,
        model=explanation.model,
        profile=chosen.provider.profile.name,
        parameters=dict(explanation.parameters),
        usage=Usage(**asdict(usage)) if usage else None,
        cost=explanation.cost,
        cached=explanation.cached,
    )
