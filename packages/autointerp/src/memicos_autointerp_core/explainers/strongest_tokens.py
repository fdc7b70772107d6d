"""Explainers whose prompt lists the most active tokens, the tokens after them, and short texts around them.

`np_max-act-logits` adds the tokens whose logits the feature raises: a feature may be known by what it makes the model
say next rather than by what it reads.
"""

from memicos_autointerp_core.explainers.interface import (
    ActivatingText,
    Evidence,
    Explainer,
    ExplainerOptions,
    MissingEvidence,
)
from memicos_autointerp_core.explainers.prompt_parts import negative_part, numbered, one_line

TOKENS_AROUND = 24
"""Number of tokens shown on each side of the most active token."""


class StrongestTokens(Explainer):
    """`np_max-act`."""

    name = "np_max-act"

    def messages(self, evidence: Evidence, options: ExplainerOptions) -> tuple[str, str]:
        return self.template.fill(self._values(evidence))

    def _values(self, evidence: Evidence) -> dict[str, str]:
        texts = evidence.texts[: self.max_texts]
        after = [_token(text, text.strongest + 1) for text in texts]
        return {
            "strongest": numbered([_token(text, text.strongest) for text in texts]),
            "after": numbered([token or "(end of text)" for token in after]),
            "texts": numbered([_around(text) for text in texts]),
            "negatives": negative_part(evidence.negatives),
        }


class StrongestTokensAndLogits(StrongestTokens):
    """`np_max-act-logits`."""

    name = "np_max-act-logits"

    def messages(self, evidence: Evidence, options: ExplainerOptions) -> tuple[str, str]:
        if not evidence.top_logits:
            raise MissingEvidence(f"{self.name} needs the tokens whose logits the feature raises (top_logits).")
        logits = numbered([one_line(token) for token in evidence.top_logits])
        return self.template.fill(self._values(evidence) | {"logits": logits})


def _token(text: ActivatingText, position: int) -> str:
    return one_line(text.tokens[position]) if position < len(text.tokens) else ""


def _around(text: ActivatingText) -> str:
    start = max(0, text.strongest - TOKENS_AROUND)
    return one_line("".join(text.tokens[start : text.strongest + TOKENS_AROUND + 1]))
