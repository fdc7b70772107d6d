"""Output scores with the local embedder as judge: planted effects, and effects that the explanation does not name."""

import random

import numpy as np
import pytest
from memicos_autointerp_core.scorers import output_effects
from memicos_autointerp_core.scorers.output_effects import TEXTS, TOKENS
from memicos_embeddings.minilm import MiniLmEmbedder
from sklearn.metrics import roc_auc_score

STARTS = ("I think that", "The weather is", "She said", "My favourite thing is", "Yesterday we", "In the end")
SEA = ("the ship sailed across the ocean", "a whale rose from the deep sea", "the sailors raised the anchor")
OTHER = ("the court passed a new law", "we baked bread with butter", "the teacher opened a book", "it rained all day")


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    return MiniLmEmbedder(1)


def _texts(ends: tuple[str, ...], seed: int) -> list[str]:
    chooser = random.Random(seed)
    return [f"{start} {chooser.choice(ends)}" for start in STARTS for _ in range(2)]


async def test_steered_texts(embedder: MiniLmEmbedder) -> None:
    steered, unsteered = _texts(SEA, 0), _texts(OTHER, 1)
    right = await output_effects.score(TEXTS, "ships and the sea", steered, unsteered, embedder.embed, embedder.title)
    assert right.estimate and right.estimate.value >= 0.9
    assert (right.method, right.positives, right.negatives) == ("output_texts", 12, 12)
    # by scikit-learn, from the breakdown
    answers = [row.probability or 0 for row in right.breakdown]
    expected = roc_auc_score([row.truth for row in right.breakdown], answers)
    assert right.estimate.value == pytest.approx(expected, abs=1e-9)
    vectors = embedder.encode(["ships and the sea", *steered])
    assert answers[:12] == pytest.approx((vectors[1:] @ vectors[0]).tolist(), abs=1e-3)


async def test_steering_without_an_effect_is_chance(embedder: MiniLmEmbedder) -> None:
    steered, unsteered = [_texts(SEA + OTHER, seed) for seed in (2, 3)]
    score = await output_effects.score(TEXTS, "ships and the sea", steered, unsteered, embedder.embed, embedder.title)
    assert score.estimate and score.estimate.low <= 0.5 <= score.estimate.high


async def test_tokens(embedder: MiniLmEmbedder) -> None:
    sea = [" ship", " sail", " ocean", " anchor", " whale", " boat"]
    other = [" law", "();", " bread", " Tuesday", " seven", " happy"]
    right = await output_effects.score(TOKENS, "ships and the sea", sea, other, embedder.embed, embedder.title)
    wrong = await output_effects.score(TOKENS, "ships and the sea", other, sea, embedder.embed, embedder.title)
    assert right.estimate and wrong.estimate and right.estimate.value >= 0.9 and wrong.estimate.value <= 0.1
    assert [row.text.context for row in right.breakdown] == [*range(6), *range(6)]


async def test_too_few_texts_give_a_reason(embedder: MiniLmEmbedder) -> None:
    score = await output_effects.score(TEXTS, "the sea", ["a"] * 4, ["b"] * 9, embedder.embed, embedder.title)
    assert score.estimate is None and score.reason and "5 texts of each class" in score.reason
    assert not np.isnan([row.probability or 0 for row in score.breakdown]).any()
