"""Choice of texts, the scorer by embeddings, and the cache of vectors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from memicos_autointerp_core.scorers import eleuther_embedding
from memicos_autointerp_core.scorers.interface import NOT_ACTIVE, ScoredText
from memicos_autointerp_core.scorers.sampling import cut_window, distance_of_group, draw_active, draw_inactive
from memicos_autointerp_core.scorers.statistics import auc
from memicos_autointerp_core.scorers.vector_cache import VectorCache
from numpy.typing import NDArray

TOPICS = ("whale", "senate", "python")


async def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors by how often each topic occurs."""
    counts = np.array([[1 + 10 * text.count(topic) for topic in TOPICS] for text in texts], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def active(word: str, number: int, distance: int = 1) -> ScoredText:
    return ScoredText(["text", f" {number}", f" {word}"], [0, 0, 3], distance)


def inactive(word: str, number: int) -> ScoredText:
    return ScoredText(["text", f" {number}", f" {word}"], [0, 0, 0], NOT_ACTIVE)


TEXTS = [active("whale", i) for i in range(6)] + [inactive("senate", i) for i in range(7)]


async def test_right_explanation_scores_one_and_wrong_one_zero() -> None:
    right = await eleuther_embedding.score("about a whale", TEXTS, embed, "topics")
    wrong = await eleuther_embedding.score("about the senate", TEXTS, embed, "topics")
    assert right.estimate and right.estimate.value == 1 and right.estimate.low == 1
    assert wrong.estimate and wrong.estimate.value == 0
    assert (right.positives, right.negatives, right.failures) == (6, 7, {})


async def test_breakdown_gives_the_score_again() -> None:
    mixed = [*TEXTS, active("senate", 99), inactive("whale", 99)]
    score = await eleuther_embedding.score("about a whale", mixed, embed, "topics", seed=3)
    answers = [[row.probability or 0 for row in score.breakdown if row.truth is truth] for truth in (True, False)]
    assert score.estimate and score.estimate.value == auc(*answers)
    assert 0.5 < score.estimate.value < 1
    assert score.estimate.low < score.estimate.value <= score.estimate.high


async def test_too_few_texts_give_a_reason_and_no_score() -> None:
    score = await eleuther_embedding.score("about a whale", [*TEXTS[:4], *TEXTS[6:]], embed, "topics")
    assert score.estimate is None
    assert score.reason and "4 on which the feature is active and 7 on which it is not" in score.reason
    nothing = await eleuther_embedding.score("about a whale", [], embed, "topics")
    assert nothing.estimate is None and nothing.breakdown == []


async def test_failed_embedder_gives_no_score() -> None:
    async def fail(_: Sequence[str]) -> NDArray[np.float32]:
        raise ConnectionError("no embedder")

    with pytest.raises(ConnectionError):
        await eleuther_embedding.score("about a whale", TEXTS, fail, "topics")


def test_active_texts_are_drawn_evenly_over_distances() -> None:
    candidates = [active("whale", 100 * distance + i, distance) for distance in (1, 2, 3) for i in range(9)]
    # repeats of a text count once, at their first distance
    candidates += [active("whale", 100, 3)] * 20
    drawn = draw_active(candidates, 7, np.random.default_rng(0))
    assert sorted(text.distance for text in drawn) == [1, 1, 1, 2, 2, 3, 3]
    assert len({text.text for text in drawn}) == 7
    assert drawn == draw_active(candidates, 7, np.random.default_rng(0))
    assert drawn != draw_active(candidates, 7, np.random.default_rng(1))
    assert len(draw_active(candidates, 100, np.random.default_rng(0))) == 27


def test_inactive_texts_leave_out_those_on_which_the_feature_is_active() -> None:
    drawn = draw_inactive(TEXTS, 100, np.random.default_rng(0))
    assert len(drawn) == 7 and not any(text.active for text in drawn)


def test_distance_contradicts_values() -> None:
    with pytest.raises(ValueError, match="contradicts"):
        ScoredText(["a"], [0], 1)
    with pytest.raises(ValueError, match="contradicts"):
        ScoredText(["a"], [1], NOT_ACTIVE)


def test_windows_and_distances() -> None:
    assert cut_window(["t"] * 10, 1, 3, first=1) == (1, 5)
    assert cut_window(["t"] * 10, 9, 3, first=1) == (6, 10)
    assert [distance_of_group(group, 5) for group in range(6)] == [1, 6, 5, 4, 3, 2]


async def test_cache_embeds_each_text_once_and_survives_a_failure(tmp_path: Path) -> None:
    calls: list[str] = []

    async def counting(texts: Sequence[str]) -> NDArray[np.float32]:
        calls.extend(texts)
        if any("fail" in text for text in texts):
            raise ConnectionError("lost")
        return await embed(texts)

    path = tmp_path / "vectors.sqlite"
    cache = VectorCache(path, counting, batch=2)
    with pytest.raises(ConnectionError):
        # the shortest first: two batches are stored before the one that fails
        await cache.embed(["a", "aa", "whale", "senate", "this text will fail", "a"])
    cache.close()
    assert sorted(calls) == sorted(["a", "aa", "whale", "senate", "this text will fail"])
    calls.clear()
    again = VectorCache(path, counting, batch=2)
    vectors = await again.embed(["whale", "a", "python", "whale"])
    assert calls == ["python"]
    assert np.array_equal(vectors, await embed(["whale", "a", "python", "whale"]))
    again.close()
