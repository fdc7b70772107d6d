"""Fuzzing and detection against a planted feature: it is active on words of a list, and the model knows the list."""

import random
import re

import pytest
from memicos_autointerp_core.errors import ProviderCause, ProviderError
from memicos_autointerp_core.scorers import classification
from memicos_autointerp_core.scorers.classification import DETECTION, FUZZ, Method
from memicos_autointerp_core.scorers.interface import Score
from memicos_testing.planted_feature import SEA, TEXTS


class Model:
    """Answers by whether a text, or its marked part, has a word that the description names, with errors at a rate."""

    def __init__(self, error_rate: float, seed: int = 0) -> None:
        self.calls = 0
        self._error_rate, self._seed = error_rate, seed

    async def __call__(self, system: str, user: str, _schema: object) -> str:
        self.calls += 1
        description, texts = user.split("\n\nTexts:\n")
        words = description.removeprefix("Description: ").split()
        answers = []
        for line in texts.split("\n"):
            part = " ".join(re.findall("<<(.*?)>>", line)) if "<<" in line else line
            right = any(word in part for word in words)
            # by the text, so that the answer is the same again, whatever the order
            wrong = random.Random(f"{line.partition('. ')[2]}{self._seed}").random() < self._error_rate
            answers.append(int(right != wrong))
        return f"Some reasoning [about 1 text].\n{answers}"


async def _score(method: Method, explanation: str, error_rate: float = 0.05, seed: int = 0) -> Score:
    return await classification.score(method, explanation, TEXTS, Model(error_rate, seed), "planted", seed)


@pytest.mark.parametrize("method", [FUZZ, DETECTION])
async def test_right_explanation_scores_high_and_random_one_is_chance(method: Method) -> None:
    right = await _score(method, " ".join(SEA))
    assert right.estimate and right.estimate.value >= 0.9
    assert (right.positives, right.negatives) == (50, 50)
    # a model that cannot tell answers half of the texts wrongly
    chance = await _score(method, "volcano", error_rate=0.5)
    assert chance.estimate and chance.estimate.low <= 0.5 <= chance.estimate.high
    assert await _score(method, " ".join(SEA)) == right


async def test_last_batch_counts_and_order_of_classes_is_random() -> None:
    model = Model(0)
    texts = [*TEXTS[:6], *TEXTS[50:57]]
    score = await classification.score(DETECTION, " ".join(SEA), texts, model, "planted")
    assert model.calls == 3
    assert (score.positives, score.negatives) == (6, 7)
    assert score.estimate and score.estimate.value == 1
    assert [row.truth for row in score.breakdown] != sorted((row.truth for row in score.breakdown), reverse=True)


async def test_fuzzing_marks_the_strong_tokens_and_random_ones() -> None:
    score = await classification.score(FUZZ, " ".join(SEA), TEXTS, Model(0), "planted")
    for row in score.breakdown:
        marked = [row.text.tokens[i] for i in row.marked]
        assert len(marked) == 1
        assert (marked[0].strip() in SEA) is row.truth


@pytest.mark.parametrize("cause", ["unauthorized", "payment_required", "rate_limited", "timeout", "filtered"])
async def test_failed_provider_gives_a_reason_and_never_a_score(cause: ProviderCause) -> None:
    async def fail(*_: object) -> str:
        raise ProviderError(cause, "no answer")

    score = await classification.score(FUZZ, "whales", TEXTS, fail, "planted")
    assert score.estimate is None
    assert score.failures == {cause: 100}
    assert score.reason and "100 had no answer" in score.reason and cause in score.reason


async def test_failed_batch_is_excluded_and_reported() -> None:
    right = Model(0)

    async def third_fails(system: str, user: str, schema: object) -> str:
        answer = await right(system, user, schema)
        if right.calls == 3:
            raise ProviderError("timeout", "no answer")
        return answer

    score = await classification.score(DETECTION, " ".join(SEA), TEXTS, third_fails, "planted")
    assert score.failures == {"timeout": 5}
    assert score.positives + score.negatives == 95
    assert score.estimate and score.estimate.value == 1


@pytest.mark.parametrize(
    "answer", ["", "yes", "[1, 0]", "[1, 0, 2]", "[1, 0, true, 0]", "[0.5, 0, 1]", '["1", 0, 1]', "{}", "[" * 5000]
)
def test_unreadable_answers(answer: str) -> None:
    with pytest.raises(ProviderError) as caught:
        classification.parse_answer(answer, 3)
    assert caught.value.cause == "unreadable"


def test_readable_answers() -> None:
    assert classification.parse_answer("[1, 0, 1]", 3) == [True, False, True]
    assert classification.parse_answer("First [0, 0, 0], but then\n```json\n[1,0,1]\n```", 3) == [True, False, True]
