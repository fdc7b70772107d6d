"""Every scorer that asks a language model, against a planted feature, a provider that errs at a set rate, and one that
fails."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from memicos_autointerp_core.providers.answer_cache import DiskAnswerCache
from memicos_autointerp_core.providers.client import Provider
from memicos_autointerp_core.providers.options import ProviderOptions
from memicos_autointerp_core.scorers.interface import Score
from memicos_autointerp_core.scorers.language_model import ScoringModel
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_testing.llm_provider import LlmProvider, Reply
from memicos_testing.planted_feature import OTHER, SEA, TEXTS
from memicos_testing.word_list_model import WordListModel
from sklearn.metrics import balanced_accuracy_score

Connect = Callable[..., Provider]

METHODS = sorted(LANGUAGE_MODEL_SCORERS)


async def _score(method: str, explanation: tuple[str, ...], model: ScoringModel, seed: int = 0) -> Score:
    return await LANGUAGE_MODEL_SCORERS[method].score(" ".join(explanation), TEXTS, model, seed)


def test_names() -> None:
    assert METHODS == ["eleuther_fuzz", "eleuther_recall", "recall_alt", "simulation"]


@pytest.mark.parametrize("method", METHODS)
async def test_a_right_explanation_scores_high_and_a_random_one_is_chance(
    connect: Connect, llm: LlmProvider, method: str
) -> None:
    # of texts, or of tokens for simulation, where one in 200 is a wrong token in one of 25 texts
    error_rate = 0.005 if method == "simulation" else 0.05
    llm.answer = WordListModel(error_rate)
    right = await _score(method, SEA, ScoringModel(connect(), "m"))
    assert right.estimate and right.estimate.value >= 0.9 and right.estimate.low > 0.8
    assert (right.positives, right.negatives, right.failures) == (50, 50, {})
    # a model that cannot tell is wrong about half of the texts; the 95% interval holds chance for 97 of 100 seeds
    llm.answer = WordListModel(0.5, seed=1)
    random = await _score(method, OTHER, ScoringModel(connect(), "m"))
    chance = LANGUAGE_MODEL_SCORERS[method].chance
    assert random.estimate and random.estimate.low <= chance <= random.estimate.high


@pytest.mark.parametrize("method", METHODS)
async def test_the_score_follows_from_the_breakdown(connect: Connect, llm: LlmProvider, method: str) -> None:
    llm.answer = WordListModel(0.2)
    score = await _score(method, SEA, ScoringModel(connect(), "m"), seed=5)
    if method == "simulation":
        expected = np.concatenate([row.expected for row in score.breakdown if row.expected is not None])
        value = np.corrcoef(expected, np.concatenate([row.text.values for row in score.breakdown]))[0, 1]
    else:
        rows = score.breakdown
        value = balanced_accuracy_score([row.truth for row in rows], [bool(row.prediction) for row in rows])
    assert score.estimate and score.estimate.value == pytest.approx(value, abs=1e-9)
    assert score.estimate.low < value < score.estimate.high


@pytest.mark.parametrize("method", METHODS)
async def test_stored_answers_give_the_same_score_without_a_request(
    connect: Connect, llm: LlmProvider, tmp_path: Path, method: str
) -> None:
    cache = DiskAnswerCache(tmp_path / "answers.sqlite")
    provider = connect(cache=cache, prices={"m": {"input": 1, "output": 1}})
    llm.answer = WordListModel(0.1)
    models = [ScoringModel(provider, "m") for _ in range(2)]
    first, again = [await _score(method, SEA, model, seed=2) for model in models]
    assert first == again
    assert models[0].paid and models[1].paid == 0
    requests = len(llm.requests)
    assert requests == {"recall_alt": 5, "simulation": 100}.get(method, 20)
    # another attempt asks again
    llm.answer = WordListModel(0.4)
    other = await _score(method, SEA, ScoringModel(provider, "m", attempt=1), seed=2)
    assert len(llm.requests) == 2 * requests and other.estimate != first.estimate


@pytest.mark.parametrize("method", METHODS)
async def test_a_failing_provider_gives_a_reason_and_never_a_score(
    connect: Connect, llm: LlmProvider, method: str
) -> None:
    """Further faults are tested over HTTP, in the autointerp service."""
    llm.default = Reply(status=402)
    texts = [*TEXTS[:8], *TEXTS[50:58]]
    score = await LANGUAGE_MODEL_SCORERS[method].score(" ".join(SEA), texts, ScoringModel(connect(), "m"), 0)
    assert score.estimate is None and score.failures == {"payment_required": 16}
    assert score.reason and "16 had no answer (payment_required: 16)" in score.reason
    assert {(row.prediction, row.probability, row.expected) for row in score.breakdown} == {(None, None, None)}


@pytest.mark.parametrize("method", METHODS)
async def test_a_failed_request_is_excluded_and_reported(connect: Connect, llm: LlmProvider, method: str) -> None:
    llm.answer = WordListModel()
    llm.script(Reply(status=500))
    score = await _score(method, SEA, ScoringModel(connect(options=ProviderOptions(retries=0)), "m"))
    lost = {"recall_alt": 20, "simulation": 1}.get(method, 5)
    assert score.failures == {"provider_failed": lost}
    assert score.positives + score.negatives == 100 - lost
    assert score.estimate and score.estimate.value == pytest.approx(1, abs=1e-9)


async def test_a_cancelled_score_ends_its_requests(connect: Connect, llm: LlmProvider) -> None:
    llm.default = Reply(delay=5)
    task = asyncio.create_task(_score("simulation", SEA, ScoringModel(connect(), "m")))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # those that were waiting for a place are not sent
    await asyncio.sleep(0.1)
    assert len(llm.requests) <= 8
