"""Characters made of several tokens on pages: one group with the value of each token."""

from memicos_webapp.token_shading import markup, pieces, token_groups

TOKENS = ["<s>", "a", "", "", "今", "日", "", "🐋", "b"]
VALUES = {1: 1.0, 2: 9.0, 4: 4.5, 6: 3.0}


def test_a_character_is_one_piece_with_each_tokens_value() -> None:
    assert pieces(TOKENS, VALUES, 9.0, 1, len(TOKENS)) == [
        (1, "1.00", "a"),
        (9, "3 tokens of one character: 9.00, 0.00, 4.50", "今"),
        (0, "", "日"),
        (3, "2 tokens of one character: 3.00, 0.00", "🐋"),
        (0, "", "b"),
    ]


def test_each_group_is_shown_once_wherever_the_text_is_cut() -> None:
    for cut in range(1, len(TOKENS)):
        parts = [*pieces(TOKENS, VALUES, 9.0, 1, cut), *pieces(TOKENS, VALUES, 9.0, cut, len(TOKENS))]
        assert "".join(text for _, _, text in parts) == "a今日🐋b"
        assert [title for level, title, _ in parts if level] == [
            "1.00", "3 tokens of one character: 9.00, 0.00, 4.50", "2 tokens of one character: 3.00, 0.00",
        ]  # fmt: skip
    assert token_groups(TOKENS, 30, 9) == []
    assert [list(group) for group in token_groups(TOKENS, 0, len(TOKENS))] == [[0], [1], [2, 3, 4], [5], [6, 7], [8]]


def test_the_keyboard_reaches_a_group() -> None:
    html = markup(pieces(TOKENS, VALUES, 9.0, 1, 5))
    assert html.count('tabindex="0"') == 1 and 'tabindex="0">今</i>' in html
