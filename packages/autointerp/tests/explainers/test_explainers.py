"""Explainers: marked tokens, pairs, and templates of the prompts."""

import pytest
from memicos_autointerp_core.explainers import prompt_parts
from memicos_autointerp_core.explainers.interface import ActivatingText, Evidence, ExplainerOptions
from memicos_autointerp_core.explainers.registry import EXPLAINERS
from memicos_autointerp_core.explainers.token_activation_pairs import scaled

SHARE = 0.6


def line(tokens: list[str], values: list[float]) -> str:
    return prompt_parts.mark_tokens(ActivatingText(tokens=tokens, values=values), SHARE, ("<<", ">>"))


def test_tokens_above_the_share_are_marked_and_adjacent_ones_together() -> None:
    tokens = ["On", " the", " 4", " March", " 1861", ".", " Then"]
    assert line(tokens, [0, 1, 7, 10, 6.1, 6.0, 9]) == "On the<< 4 March 1861>>.<< Then>>"


def test_one_token_is_marked_and_a_text_without_activation_is_not() -> None:
    assert line([" whale"], [0.5]) == "<< whale>>"
    assert line(["a", "b"], [0.0, 0.0]) == "ab"
    # 0.6 times a negative maximum would lie above it: nothing may be marked
    assert line(["a", "b"], [-1.0, -2.0]) == "ab"


def test_line_breaks_of_a_text_are_escaped() -> None:
    assert line(["def", "\n", "\r\n", "x"], [0, 1, 0, 0]) == "def<<\\n>>\\r\\nx"


def test_the_marker_pair_occurs_in_no_text() -> None:
    texts = [ActivatingText(tokens=["cout", " <", "<", " x"], values=[1, 0, 0, 0])]
    system, user = EXPLAINERS["eleuther_acts_top20"].messages(Evidence(texts), ExplainerOptions())
    assert user == "1. [[cout]] << x"
    assert "[[March]]" in system and "<<" not in system
    assert prompt_parts.choose_marks([ActivatingText(tokens=["<<", "[[", "}}"], values=[1, 0, 0])]) == ("⟪", "⟫")


def test_a_character_of_several_tokens_is_marked_once_if_any_of_them_is_strong() -> None:
    assert line(["a", "", "", "今", "日"], [0, 0, 5, 0, 0]) == "a<<今>>日"
    assert line(["a", "", "今", "", "日"], [0, 5, 0, 0, 5]) == "a<<今日>>"
    assert line(["a", "", "今"], [5, 0, 0]) == "<<a>>今"


def test_activations_become_integers_from_0_to_10() -> None:
    assert scaled([-1, 0, 0.4, 0.5, 4.9, 5.5, 10], 10) == [0, 0, 0, 1, 5, 6, 10]
    assert scaled([0, -2], 0) == [0, 0]


@pytest.mark.parametrize("name", EXPLAINERS)
def test_names_in_braces_in_a_text_are_not_replaced(name: str) -> None:
    text = ActivatingText(["{{logits}}", " {{open}}"], [1, 0], [1, 0], 0)
    _, user = EXPLAINERS[name].messages(Evidence([text], ["{{negatives}}"]), ExplainerOptions())
    assert "{{logits}}" in user


@pytest.mark.parametrize(
    ("name", "count"), [("eleuther_acts_top20", 20), ("np_max-act", 10), ("oai_token-act-pair", 10)]
)
def test_the_prompt_shows_so_many_texts(name: str, count: int) -> None:
    texts = [ActivatingText([f"word{number:03}"], [1.0]) for number in range(30)]
    _, user = EXPLAINERS[name].messages(Evidence(texts), ExplainerOptions())
    assert f"word{count - 1:03}" in user and f"word{count:03}" not in user
