"""Characters made of several tokens on pages: one group with the value of each token."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from memicos_webapp.activation_search.query import PageQuery
from memicos_webapp.activation_search.service import TextSearchResults
from memicos_webapp.activation_search.token_search import TokenFeatures
from memicos_webapp.activation_search.view import token_links, tokens
from memicos_webapp.feature_test.service import TextActivations
from memicos_webapp.feature_test.view import text_pieces
from memicos_webapp.formatting import lone_token_text
from memicos_webapp.inference.prompt_form import PromptForm
from memicos_webapp.recipes import Recipe
from memicos_webapp.token_shading import active_token, markup, pieces, token_groups

TOKENS = ["<s>", "a", "", "", "今", "日", "", "🐋", "b"]
VALUES = {1: 1.0, 2: 9.0, 4: 4.5, 6: 3.0}


def test_a_character_is_one_piece_with_each_tokens_value() -> None:
    assert [piece[:3] for piece in pieces(TOKENS, VALUES, 9.0, 1, len(TOKENS))] == [
        (1, "1.00", "a"),
        (9, "9.00, 0.00, 4.50", "今"),
        (0, "", "日"),
        (3, "3.00, 0.00", "🐋"),
        (0, "", "b"),
    ]


def test_each_group_is_shown_once_wherever_the_text_is_cut() -> None:
    for cut in range(1, len(TOKENS)):
        parts = [*pieces(TOKENS, VALUES, 9.0, 1, cut), *pieces(TOKENS, VALUES, 9.0, cut, len(TOKENS))]
        assert "".join(piece.text for piece in parts) == "a今日🐋b"
        assert [piece.values for piece in parts if piece.level] == [
            "1.00", "9.00, 0.00, 4.50", "3.00, 0.00",
        ]  # fmt: skip
    assert token_groups(TOKENS, 30, 9) == []
    assert [list(group) for group in token_groups(TOKENS, 0, len(TOKENS))] == [[0], [1], [2, 3, 4], [5], [6, 7], [8]]


def test_the_keyboard_reaches_a_group() -> None:
    html = markup(pieces(TOKENS, VALUES, 9.0, 1, 5))
    assert html.count('tabindex="0"') == 1 and 'tabindex="0">今</i>' in html
    assert 'title="3 tokens of one character: 9.00, 0.00, 4.50" data-values="9.00, 0.00, 4.50"' in html


@pytest.mark.parametrize(
    ("token", "right_to_left"),
    [("whale", False), (" 1861", False), ("é", False), ("今", False), ("ש", True), (" الله", True), ("،", False)],
)
def test_tokens_of_scripts_from_right_to_left_have_a_class(token: str, right_to_left: bool) -> None:
    assert ("rtl" in active_token(9, "1.00", token)) is right_to_left
    assert active_token(9, "1.00", '<"', is_max=True) == '<i class="a9 max" title="1.00">&lt;&quot;</i>'


def _query(*sort_indexes: int) -> PageQuery:
    return PageQuery("m", "s", PromptForm(text="a"), ("1-s",), sort_indexes, True, True)


def test_a_character_is_one_link_that_ranks_by_all_its_tokens() -> None:
    results = TextSearchResults([], {}, TOKENS, [], frozenset({0}), {}, True)
    links = token_links(results, _query(), "/search")
    assert [(chip.text, chip.ignored, chip.chosen) for chip in links] == [
        ("<s>", True, False), ("a", False, False), ("今", False, False), ("日", False, False), ("🐋", False, False),
        ("b", False, False),
    ]  # fmt: skip
    assert links[1].title == "position 1" and links[2].title == "positions 2 to 4, the tokens of one character"

    def positions(href: str) -> list[int]:
        return json.loads(parse_qs(urlsplit(href).query).get("sortIndexes", ["[]"])[0])

    assert [positions(chip.href) for chip in links[1:]] == [[1], [2, 3, 4], [5], [6, 7], [8]]
    # a link that chooses one of its tokens chooses the character; the next click removes it
    for chosen in ((2, 3, 4, 8), (3, 8)):
        again = token_links(results, _query(*chosen), "/search")
        assert [chip.text for chip in again if chip.chosen] == ["今", "b"]
        assert positions(again[2].href) == [8]


def test_rows_of_a_characters_tokens_show_the_character() -> None:
    rows = [TokenFeatures(position, token, False, False, []) for position, token in enumerate(TOKENS)]
    shown = [(row.position, row.text, row.part) for row in tokens(rows, "/m/1-s", True)]
    assert shown == [
        (0, "<s>", ""), (1, "a", ""), (2, "今", "1 of 3"), (3, "今", "2 of 3"), (4, "今", "3 of 3"), (5, "日", ""),
        (6, "🐋", "1 of 2"), (7, "🐋", "2 of 2"), (8, "b", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("\u200d", "U+200D"), ("\ufe0f", "U+FE0F"), ("\u200d\ufe0f", "U+200D U+FE0F"), ("\u0301", "◌\u0301"),
        ("\u093f", "◌\u093f"), ("e\u0301", "e\u0301"),
        ("\U0001f468\u200d", "\U0001f468\u200d"), (" ", "␣"), ("a\n", "a↵"),
        ("", ""), ("今", "今"),
    ],
)  # fmt: skip
def test_a_token_alone_is_visible(token: str, shown: str) -> None:
    assert lone_token_text(token) == shown


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("\u200d", "U+200D"), ("\u0301", "◌\u0301"), ("\u0301\u200d", "◌\u0301\u200d"), ("\u0301a", "\u0301a"),
        ("\u093f", "\u093f"), ("a", "a"), (" ", "␣"), ("今", "今"),
    ],
)  # fmt: skip
def test_the_shading_of_a_token_without_width_is_seen(token: str, shown: str) -> None:
    text = ["e", token, "b"]
    assert [piece[:3] for piece in pieces(text, {1: 2.0}, 2.0, 0, 3)] == [
        (0, "", "e"),
        (9, "2.00", shown),
        (0, "", "b"),
    ]
    assert [(level, shown) for level, _, shown, *_ in pieces(text, {}, 2.0, 0, 3)] == [(0, f"e{token}b")]


def test_spaces_between_other_tokens_of_an_own_text_are_spaces() -> None:
    """A token of one space has a sign only where it is shaded."""
    words = ["<s>", "今", " ", "日", " ", "b"]
    recipe = Recipe(
        model="m", weights="w", dtype="float32", weight_processing="none", prepend_bos=True, hook_name="h",
        context_size=8, ignored_positions=[0], norm_cut=None, sae=None,
    )  # fmt: skip
    run = TextActivations(words, list(range(6)), [0, 0, 0, 0, 5.0, 0], [0], 5.0, 4, True, recipe)
    assert [(piece.kind, piece.text) for piece in text_pieces(run, 5.0)] == [
        ("ignored", "<s>"), ("inactive", "今 日"),
        ("active", active_token(9, "5", "␣", is_max=True)), ("inactive", "b"),
    ]  # fmt: skip
