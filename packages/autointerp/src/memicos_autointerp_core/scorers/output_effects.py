"""Scorers `output_texts` and `output_tokens`: does steering with the feature raise what the explanation names?

Other scorers ask on which texts a feature is active; these ask what it does to the model's output. After Gur-Arieh et
al. 2025, "Enhancing Automated Interpretability with Output-Centric Feature Descriptions", whose judge is a language
model that tells which texts were generated with the feature amplified. Here an embedder is the judge, so that no
language model and no key is needed: the score is the area under the ROC curve of the cosine similarity between the
explanation and each text. A score of 0.5 is chance.

`output_texts` compares continuations that were generated with the feature added with continuations of the same prompts
without it; `output_tokens` compares the tokens whose logits the feature raises most with tokens that other features
raise. An explanation of what activates a feature may be right and score 0.5 here, as the feature may promote something
else.
"""

from collections.abc import Sequence
from typing import Literal

from memicos_autointerp_core.scorers.eleuther_embedding import Embed, similarity_score
from memicos_autointerp_core.scorers.interface import NOT_ACTIVE, Score, ScoredText

TEXTS, TOKENS = "output_texts", "output_tokens"
Method = Literal["output_texts", "output_tokens"]


async def score(
    method: Method,
    explanation: str,
    raised: Sequence[str],
    others: Sequence[str],
    embed: Embed,
    model: str,
    seed: int = 0,
) -> Score:
    """The score of an explanation; `model` is the embedder's name.

    In the breakdown the texts of `raised` have the distance 1, those of `others` NOT_ACTIVE; `context` is the number of
    a text in its list. There is a reason in place of a score where either has fewer than MIN_PER_CLASS texts.

    Args:
        raised: steered texts, or tokens that the feature raises.
        others: texts without steering, or tokens that other features raise.
    """
    texts = [ScoredText([text], [1.0], 1, context=number) for number, text in enumerate(raised)]
    texts += [ScoredText([text], [0.0], NOT_ACTIVE, context=number) for number, text in enumerate(others)]
    return await similarity_score(method, explanation, texts, embed, model, seed)
