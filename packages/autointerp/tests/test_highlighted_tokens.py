"""Explainer `highlighted-tokens`: marked tokens of the prompt."""

from memicos_autointerp_core.explainers import highlighted_tokens as explainer
from memicos_autointerp_core.explainers.interface import ActivatingText

SHARE = 0.6


def line(tokens: list[str], values: list[float]) -> str:
    return explainer.mark_tokens(ActivatingText(tokens=tokens, values=values), SHARE, ("<<", ">>"))


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
    system, user = explainer.build_messages(texts, SHARE)
    assert user == "1. [[cout]] << x"
    assert "[[March]]" in system and "<<" not in system
    assert explainer.choose_marks([ActivatingText(tokens=["<<", "[[", "}}"], values=[1, 0, 0])]) == ("⟪", "⟫")


def test_a_character_of_several_tokens_is_marked_once_if_any_of_them_is_strong() -> None:
    assert line(["a", "", "", "今", "日"], [0, 0, 5, 0, 0]) == "a<<今>>日"
    assert line(["a", "", "今", "", "日"], [0, 5, 0, 0, 5]) == "a<<今日>>"
    assert line(["a", "", "今"], [5, 0, 0]) == "<<a>>今"
