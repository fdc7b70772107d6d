"""Parsing of an explainer's answer: the phrase after the label, whatever decorates it."""

import time

import pytest
from memicos_autointerp_core.errors import ProviderError
from memicos_autointerp_core.explainers.explanation_parser import parse_explanation


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("EXPLANATION: names of months", "names of months"),
        ("They are months.\n\nEXPLANATION: names of\nmonths \n", "names of months"),
        ("EXPLANATION:\nnames of months\n\nShall I go on?", "names of months"),
        ("**EXPLANATION:** names of months", "names of months"),
        ('### Explanation: "names of months"', "names of months"),
        ("EXPLANATION: first try\nno, better:\nEXPLANATION: second try", "first try"),
        ("EXPLANATION: the word 'explanation' before a colon", "the word 'explanation' before a colon"),
        ("EXPLANATION: months\n\nThis explanation fits all marked pieces.", "months"),
        ("EXPLANATION: months\n\nExplanation: every marked piece is a month.", "months"),
        ("Explanation of my steps: I compared them.\nExplanation: by kind\n\nEXPLANATION: months", "months"),
        ("<think>EXPLANATION: days?</think>\nEXPLANATION: months", "months"),
        ("EXPLANATION:\n\nEXPLANATION: months", "months"),
        ("EXPLANATION:\n\nmonths", "months"),
        ("- EXPLANATION: names of months", "names of months"),
        ("* **EXPLANATION:** names of months", "names of months"),
        ("1. EXPLANATION: names of months", "names of months"),
        ("2) **EXPLANATION**: **names of months**", "names of months"),
        ("> EXPLANATION: names of\n> months", "names of months"),
        ("[EXPLANATION: names of months]", "names of months"),
        ("[EXPLANATION]: names of months", "names of months"),
        ("(EXPLANATION) : [names of months]", "names of months"),
        ("EXPLANATION: <names of months>", "names of months"),
        ("**EXPLANATION: names of months**", "names of months"),
        ("__EXPLANATION__: _names of months_", "names of months"),
        ("`EXPLANATION: names of months`", "names of months"),
        ("EXPLANATION：月の名前", "月の名前"),
        ("【EXPLANATION】：「月 の名前」", "月 の名前"),
        ('{"explanation": "names of months"}', "names of months"),
        ("EXPLANATION: “names of months”\r\n", "names of months"),
        ('EXPLANATION: "ships" and "whales"', '"ships" and "whales"'),
        ('EXPLANATION: **"ships" and "whales"**', '"ships" and "whales"'),
        ("EXPLANATION: the word 'of'", "the word 'of'"),
        ("EXPLANATION: <br>", "<br>"),
        # upper() makes two characters of one, which moves every position after it
        ("ß" * 30 + "\nExplanation: names of months", "names of months"),
        ("ﬃ" * 30 + " is a ligature.\nEXPLANATION: the sign ß", "the sign ß"),
        ("EXPLANATION: ```\nnames of months\n```", "names of months"),
        ("```\nEXPLANATION: names of months\n```", "names of months"),
        ("```text\nEXPLANATION:\nnames of months\n```\nDone.", "names of months Done."),
        ("EXPLANATION:\n- names of months", "names of months"),
        ("EXPLANATION:\n\n1. names of months", "names of months"),
        ("EXPLANATION: - 5 and other negative numbers", "- 5 and other negative numbers"),
        ("## EXPLANATION\nnames of months", "names of months"),
        ("**EXPLANATION**\n\n> names of\n> months", "names of months"),
        ("EXPLANATION - names of months", "names of months"),
        ("**EXPLANATION** — names of months", "names of months"),
        ("EXPLANATION-like text\nExplanation - by kind\nExplanation\nEXPLANATION: months", "months"),
        ("Explanation\nI compared them.\nExplanation: months", "months"),
        ("EXPLANATION: *args and **kwargs", "*args and **kwargs"),
    ],
)
def test_the_phrase_is_read_from_the_answer(answer: str, phrase: str) -> None:
    assert parse_explanation(answer, 100) == phrase


@pytest.mark.parametrize(
    "answer",
    [
        "It is about months.",
        "EXPLANATION:",
        "EXPLANATION: **",
        "no EXPLANATION",
        "Explanation\nof months",
        "EXPLANATION",
    ],
)
def test_a_response_without_the_phrase_is_an_error(answer: str) -> None:
    with pytest.raises(ProviderError) as caught:
        parse_explanation(answer, 100)
    assert caught.value.cause == "unreadable"


def test_a_response_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ProviderError, match="101 characters, more than 100"):
        parse_explanation("EXPLANATION: " + "x" * 101, 100)


@pytest.mark.parametrize(
    "part", [" ", "<think>", "EXPLANATION:\n", "explanation:\n \n", "* ", "> ", "1", "\n\t", "_", "EXPLANATION: \n>"]
)
def test_the_time_is_linear_in_the_length(part: str) -> None:
    """An answer of 1 MB, of which each start could be the label's; quadratic time would be hours."""
    started_at = time.process_time()
    with pytest.raises(ProviderError):
        parse_explanation(part * (1_000_000 // len(part)), 500)
    assert time.process_time() - started_at < 10


def test_every_block_of_reasoning_is_left_out() -> None:
    assert parse_explanation("<think>EXPLANATION: a</think>x\n<think></think>EXPLANATION: b <think> c", 500) == (
        "b <think> c"
    )
