"""The explainers by name."""

from memicos_autointerp_core.explainers.attention_head import AttentionHead
from memicos_autointerp_core.explainers.interface import Explainer
from memicos_autointerp_core.explainers.marked_texts import MarkedTexts, MarkedTextsAndLogits
from memicos_autointerp_core.explainers.strongest_tokens import StrongestTokens, StrongestTokensAndLogits
from memicos_autointerp_core.explainers.token_activation_pairs import TokenActivationPairs

DEFAULT_EXPLAINER = MarkedTexts.name

EXPLAINERS: dict[str, Explainer] = {
    explainer.name: explainer
    for explainer in (
        MarkedTexts(),
        MarkedTextsAndLogits(),
        StrongestTokens(),
        StrongestTokensAndLogits(),
        TokenActivationPairs(),
        AttentionHead(),
    )
}

FORMER_NAMES = {"highlighted-tokens": MarkedTexts.name}
"""Names of earlier versions, which are still accepted."""


def find_explainer(name: str | None) -> Explainer | None:
    """The explainer of this name, or of this former name; the default one for None; None where there is none."""
    name = name or DEFAULT_EXPLAINER
    return EXPLAINERS.get(FORMER_NAMES.get(name, name))
