"""Explainer `oai_attention-head`: for features of attention layers, which tokens look back at which.

The prompt shows each text with the most active token, and the tokens that contributed most to it by direct feature
attribution (DFA; Kissane et al. 2024, "Interpreting Attention Layer Outputs with Sparse Autoencoders").
"""

from memicos_autointerp_core.explainers.interface import (
    ActivatingText,
    Evidence,
    Explainer,
    ExplainerOptions,
    MissingEvidence,
)
from memicos_autointerp_core.explainers.prompt_parts import negative_part, one_line

TO, FROM = ("[[", "]]"), ("<<", ">>")
"""Marks around the active token, and around the tokens that contributed to it."""


class AttentionHead(Explainer):
    name = "oai_attention-head"

    def messages(self, evidence: Evidence, options: ExplainerOptions) -> tuple[str, str]:
        texts = [text for text in evidence.texts if text.dfa_values is not None][: self.max_texts]
        if not texts:
            raise MissingEvidence(f"{self.name} needs texts with the contributions of their tokens (dfa_values).")
        parts = "\n".join(_line(number, text, options.highlight_share) for number, text in enumerate(texts, 1))
        return self.template.fill({"texts": parts, "negatives": negative_part(evidence.negatives)})


def _line(number: int, text: ActivatingText, share: float) -> str:
    """The text with marks, and the pairs of tokens below it."""
    assert text.dfa_values is not None and text.dfa_target is not None
    largest = max(text.dfa_values)
    sources = [i for i, value in enumerate(text.dfa_values) if value > 0 and value > share * largest]
    pieces: list[str] = []
    for position, token in enumerate(text.tokens):
        piece = f"{FROM[0]}{token}{FROM[1]}" if position in sources else token
        pieces.append(f"{TO[0]}{piece}{TO[1]}" if position == text.dfa_target else piece)
    target = one_line(text.tokens[text.dfa_target]).strip()
    pairs = ", ".join(f"{one_line(text.tokens[source]).strip()} -> {target}" for source in sources)
    return f"{number}. {one_line(''.join(pieces))}\n   pairs: {pairs or '(none)'}"
