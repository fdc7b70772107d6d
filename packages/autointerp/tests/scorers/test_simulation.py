"""Expected activations from a model's answer, with and without log probabilities."""

import math
from collections.abc import Callable

import pytest
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.providers.chat import Answer, TokenLogprob
from memicos_autointerp_core.providers.client import Provider
from memicos_autointerp_core.scorers.language_model import ScoringModel
from memicos_autointerp_core.scorers.registry import LANGUAGE_MODEL_SCORERS
from memicos_autointerp_core.scorers.simulation import expected_activations
from memicos_testing.llm_provider import LlmProvider
from memicos_testing.planted_feature import SEA, TEXTS
from memicos_testing.word_list_model import WordListModel

Connect = Callable[..., Provider]


def _answer(*tokens: tuple[str, float, dict[str, float]]) -> Answer:
    logprobs = tuple(
        TokenLogprob(text, math.log(share), tuple((other, math.log(chance)) for other, chance in top.items()))
        for text, share, top in tokens
    )
    return Answer("".join(text for text, _, _ in tokens), "m", logprobs=logprobs)


def test_digits_are_weighted_by_their_probability() -> None:
    answer = _answer(
        ("1:", 1.0, {}),
        (" 7", 0.6, {" 7": 0.6, " 2": 0.3, " x": 0.1}),
        ("\n", 1.0, {}),
        ("2:", 1.0, {}),
        # alternatives of other characters begin another answer, and two digits are no activation
        (" 0", 0.5, {" 0": 0.5, "\n9": 0.2, " 10": 0.2, " 1": 0.1}),
    )
    weighted = [(7 * 0.6 + 2 * 0.3) / 0.9, 1 * 0.1 / 0.6]
    assert expected_activations(answer, 2) == pytest.approx(weighted, abs=1e-9)


def test_without_log_probabilities_the_digit_counts() -> None:
    assert expected_activations(Answer("1: 0\n2: 9", "m"), 2) == (0, 9)
    # log probabilities of another text
    other = TokenLogprob("1: 5", 0.0, (("1: 5", 0.0),))
    assert expected_activations(Answer("1: 3", "m", logprobs=(other,)), 1) == (3,)


def test_reasoning_is_ignored() -> None:
    text = "<think>1: 5\n2: 5</think>Tokens 1: they\n1: 9\n2: 9\nno:\r\n 1 : 0\r\n2:4\r\n"
    assert expected_activations(Answer(text, "m"), 2) == (0, 4)


@pytest.mark.parametrize(
    "text",
    ["", "1: 0", "2: 0\n1: 0", "1: 0\n3: 0", "1: 10\n2: 0", "[0, 0]", "1: 0\n1: 0", "1: -1\n2: 0"],
)
def test_unreadable_answers(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        expected_activations(Answer(text, "m"), 2)
    assert caught.value.cause == "unreadable"


async def test_log_probabilities_are_requested_where_the_profile_offers_them(
    connect: Connect, llm: LlmProvider
) -> None:
    llm.answer = WordListModel()
    texts = [*TEXTS[:5], *TEXTS[50:55]]
    scores = {}
    for offered in (False, True):
        model = ScoringModel(connect(logprobs=offered), "m")
        scores[offered] = await LANGUAGE_MODEL_SCORERS["simulation"].score(" ".join(SEA), texts, model, 0)
        assert llm.requests[-1].body.get("top_logprobs") == (10 if offered else None)
    found = {offered: {v for row in score.breakdown for v in row.expected or ()} for offered, score in scores.items()}
    assert found[False] == {0, 9}
    # 9 with 0.75 and 6 with 0.25; 0 with 0.75 and 2 with 0.25
    assert sorted(found[True]) == pytest.approx([0.5, 8.25], abs=1e-9)
    assert scores[True].breakdown[0].probability == pytest.approx(8.25 / 9)
    assert scores[True].breakdown[9].probability == pytest.approx(0.5 / 9)
