"""Explainers whose prompt shows texts with marks around the strongly active tokens.

The activations themselves are not shown, so that texts with weak and strong activations count alike. Showing
top-activating examples and asking what their active tokens have in common follows Bills et al. 2023, "Language models
can explain neurons in language models"; marks in place of numbers follow Paulo et al. 2024, "Automatically Interpreting
Millions of Features in Large Language Models".
"""

from memicos_autointerp_core.explainers.interface import Evidence, Explainer, ExplainerOptions, MissingEvidence
from memicos_autointerp_core.explainers.prompt_parts import choose_marks, mark_tokens, negative_part, numbered, one_line


class MarkedTexts(Explainer):
    """`eleuther_acts_top20`: up to 20 texts with marks."""

    name = "eleuther_acts_top20"
    max_texts = 20

    def messages(self, evidence: Evidence, options: ExplainerOptions) -> tuple[str, str]:
        return self.template.fill(self._values(evidence, options))

    def _values(self, evidence: Evidence, options: ExplainerOptions) -> dict[str, str]:
        texts = evidence.texts[: self.max_texts]
        marks = choose_marks([*texts, *evidence.negatives])
        lines = [mark_tokens(text, options.highlight_share, marks) for text in texts]
        return {
            "open": marks[0],
            "close": marks[1],
            "texts": numbered(lines),
            "negatives": negative_part(evidence.negatives),
        }


class MarkedTextsAndLogits(MarkedTexts):
    """`np_acts-logits-general`: marked texts, and the tokens whose logits the feature raises."""

    name = "np_acts-logits-general"
    max_texts = 10

    def messages(self, evidence: Evidence, options: ExplainerOptions) -> tuple[str, str]:
        if not evidence.top_logits:
            raise MissingEvidence(f"{self.name} needs the tokens whose logits the feature raises (top_logits).")
        values = self._values(evidence, options)
        return self.template.fill(values | {"logits": numbered([one_line(token) for token in evidence.top_logits])})
