"""Characters made of several tokens, against the text that the tokens were cut from."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from memicos_dataset.token_text import context_strings


def single(token: bytes) -> str:
    """A token as the vocabulary has it."""
    return "".join(
        f"<0x{ord(c) - 0xDC00:02X}>" if 0xDC80 <= ord(c) <= 0xDCFF else c
        for c in token.decode("utf-8", "surrogateescape")
    )


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(raw), *(number % (len(raw) + 1) for number in cuts)})
    return [raw[start:end] for start, end in pairwise(ends)]


@given(st.text(st.sampled_from("a é今🐋\u0301한\n"), min_size=1), st.lists(st.integers(0, 200)))
def test_strings_of_a_text_cut_anywhere_join_to_it(text: str, cuts: list[int]) -> None:
    tokens = cut(text.encode(), cuts)
    placed = context_strings([single(token) for token in tokens])
    assert "".join(placed) == text
    before = b""
    for token, string in zip(tokens, placed, strict=True):
        decoded = (before + token).decode("utf-8", "ignore")  # without a character that is not complete
        assert string == decoded[len(before.decode("utf-8", "ignore")) :]
        before += token


def test_bytes_of_a_character_that_a_window_cuts_stay_bytes() -> None:
    strings = ["<s>", "<0x8A>", "<0xE4><0xBB>", "<0x8A>", " cat", " <0xF0>", "<0x9F>"]
    assert context_strings(strings) == ["<s>", "<0x8A>", "", "今", " cat", " <0xF0>", "<0x9F>"]


def test_ascii_bytes_and_other_strings_stay() -> None:
    assert context_strings(["<0x0A>", "<0xZZ>", "", "�"]) == ["<0x0A>", "<0xZZ>", "", "�"]
