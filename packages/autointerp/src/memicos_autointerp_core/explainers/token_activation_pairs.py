"""Explainer `oai_token-act-pair`: every token with its activation, as an integer from 0 to 10.

After Bills et al. 2023, "Language models can explain neurons in language models": activations are divided by the
largest one of all texts, negative ones count as 0, and pairs that are not 0 are repeated after each text.
"""

from memicos_autointerp_core.explainers.interface import ActivatingText, Evidence, Explainer, ExplainerOptions
from memicos_autointerp_core.explainers.prompt_parts import negative_part, one_line

LARGEST = 10


def scaled(values: list[float] | tuple[float, ...], largest: float) -> list[int]:
    """Integers from 0 to LARGEST: `largest` becomes LARGEST."""
    return [max(0, min(LARGEST, int(LARGEST * value / largest + 0.5))) if largest > 0 else 0 for value in values]


class TokenActivationPairs(Explainer):
    name = "oai_token-act-pair"

    def messages(self, evidence: Evidence, options: ExplainerOptions) -> tuple[str, str]:
        texts = evidence.texts[: self.max_texts]
        largest = max(max(text.values) for text in texts)
        parts = "\n\n".join(self._text(number, text, largest) for number, text in enumerate(texts, 1))
        return self.template.fill({"texts": parts, "negatives": negative_part(evidence.negatives)})

    @staticmethod
    def _text(number: int, text: ActivatingText, largest: float) -> str:
        integers = scaled(list(text.values), largest)
        pairs = [(one_line(token), value) for token, value in zip(text.tokens, integers, strict=True)]
        lines = [f"Text {number}", *(f"{token}\t{value}" for token, value in pairs)]
        active = [f"{token}\t{value}" for token, value in pairs if value]
        return "\n".join([*lines, f"Text {number}, active tokens only", *active])
