"""How texts are marked and how answers are read."""

import pytest
from memicos_autointerp.errors import ProviderFault
from memicos_autointerp.explain import prompt
from memicos_autointerp.explain.schemas import Activation

SHARE = 0.6


def line(tokens: list[str], values: list[float]) -> str:
    return prompt.marked(Activation(tokens=tokens, values=values), SHARE, ("<<", ">>"))


def test_tokens_above_the_share_are_marked_and_neighbours_share_marks() -> None:
    tokens = ["On", " the", " 4", " March", " 1861", ".", " Then"]
    assert line(tokens, [0, 1, 7, 10, 6.1, 6.0, 9]) == "On the<< 4 March 1861>>.<< Then>>"


def test_one_token_is_marked_and_a_silent_text_is_not() -> None:
    assert line([" whale"], [0.5]) == "<< whale>>"
    assert line(["a", "b"], [0.0, 0.0]) == "ab"
    # 0.6 times a negative maximum would lie above it: nothing may be marked
    assert line(["a", "b"], [-1.0, -2.0]) == "ab"


def test_a_text_stays_on_its_line() -> None:
    assert line(["def", "\n", "\r\n", "x"], [0, 1, 0, 0]) == "def<<\\n>>\\r\\nx"


def test_marks_are_a_pair_that_no_text_contains() -> None:
    texts = [Activation(tokens=["cout", " <", "<", " x"], values=[1, 0, 0, 0])]
    system, user = prompt.messages(texts, SHARE)
    assert user == "1. [[cout]] << x"
    assert "[[March]]" in system and "<<" not in system
    assert prompt.pick_marks([Activation(tokens=["<<", "[[", "}}"], values=[1, 0, 0])]) == ("⟪", "⟫")


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("EXPLANATION: names of months", "names of months"),
        ("They are months.\n\nEXPLANATION: names of\nmonths \n", "names of months"),
        ("EXPLANATION:\nnames of months\n\nShall I go on?", "names of months"),
        ("**EXPLANATION:** names of months", "names of months"),
        ('### Explanation: "names of months"', "names of months"),
        ("EXPLANATION: first try\nno, better:\nEXPLANATION: second try", "second try"),
        ("EXPLANATION: the word 'explanation' before a colon", "the word 'explanation' before a colon"),
    ],
)
def test_the_phrase_is_read_from_the_answer(answer: str, phrase: str) -> None:
    assert prompt.read_answer(answer, 100) == phrase


@pytest.mark.parametrize("answer", ["It is about months.", "EXPLANATION:", "EXPLANATION: **", "no EXPLANATION"])
def test_an_answer_without_a_phrase_is_no_explanation(answer: str) -> None:
    with pytest.raises(ProviderFault) as caught:
        prompt.read_answer(answer, 100)
    assert caught.value.cause == "unreadable"


def test_an_essay_is_no_explanation() -> None:
    with pytest.raises(ProviderFault, match="101 characters, more than 100"):
        prompt.read_answer("EXPLANATION: " + "x" * 101, 100)
