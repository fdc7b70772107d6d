"""The words that the tokens of a corpus are parts of.

A word is a run of letters (with an apostrophe and what follows it in "don't"), a run of digits, or one token of
anything else. Statistics are about these words, not about tokens.
"""

import re
from dataclasses import dataclass

import numpy as np
from snowballstemmer import stemmer

LETTERS, DIGITS, SPACE, BREAK, MARK, APOSTROPHE = range(6)
"""Kinds of token: letters, digits, blanks, line breaks (with any indentation), other marks, an apostrophe."""
WHOLE, START, MIDDLE, END = range(4)
"""Part of its word that a token is."""

_LETTERS = re.compile(r"\s?[^\W\d_]+")
_DIGITS = re.compile(r" ?\d+")
_CONTRACTION = re.compile(r"['’](t|ll|re|ve|d|m)", re.IGNORECASE)
_CONTRACTED = frozenset(("t", "ll", "re", "ve", "d", "m"))


@dataclass(frozen=True)
class Text:
    """A corpus of N contexts of T tokens, flattened to P = N * T positions.

    `tokens` (P,) ids; `strings` of all ids; `kinds` (P,); `parts` (P,) of the word; `words` (P,) numbers into `forms`
    (spelling in the text) and, case-folded, `folded` (P,) numbers into `keys`; `stem_of` (keys,) numbers into `stems`;
    `starts` and `ends` (P,) the positions of the word's first token and of the first token after it; `before` and
    `after` (P,) the positions of the last token of the word before and the first token of the word after it in its
    context, blanks skipped, -1 for none.
    """

    tokens: np.ndarray
    strings: list[str]
    kinds: np.ndarray
    parts: np.ndarray
    words: np.ndarray
    forms: list[str]
    folded: np.ndarray
    keys: list[str]
    stem_of: np.ndarray
    stems: list[str]
    starts: np.ndarray
    ends: np.ndarray
    before: np.ndarray
    after: np.ndarray


def read_text(token_ids: np.ndarray, strings: list[str]) -> Text:
    """Find the words of `token_ids` (N, T); `strings[i]` is token i alone, as inside a text."""
    width = token_ids.shape[1]
    tokens = token_ids.reshape(-1).astype(np.int64)
    kinds = np.array([_kind(string) for string in strings], dtype=np.int8)[tokens]
    joins = _joins(tokens, kinds, strings, width)
    word_starts = np.flatnonzero(~joins)
    number = np.cumsum(~joins) - 1
    starts = word_starts[number]
    ends = np.append(word_starts[1:], len(tokens))[number]
    parts = np.select(
        [ends - starts == 1, starts == np.arange(len(tokens)), ends == np.arange(len(tokens)) + 1],
        [WHOLE, START, END],
        MIDDLE,
    ).astype(np.int8)
    spelled = _spell(tokens, word_starts, strings)
    forms, words = _number(spelled)
    keys, fold = _number([form.casefold().replace("’", "'") for form in forms])
    stems, stem_of = _number(stemmer("english").stemWords(keys))
    before, after = _neighbour_positions(word_starts, ends, kinds, width)
    return Text(
        tokens, strings, kinds, parts, words[number], forms, fold[words][number], keys, stem_of, stems,
        starts, ends,
        before[number], after[number],
    )  # fmt: skip


def _kind(string: str) -> int:
    if _LETTERS.fullmatch(string):
        return LETTERS
    if _DIGITS.fullmatch(string):
        return DIGITS
    if not string.strip():
        return BREAK if "\n" in string else SPACE
    return APOSTROPHE if string in "'’" or _CONTRACTION.fullmatch(string) else MARK


def _joins(tokens: np.ndarray, kinds: np.ndarray, strings: list[str], width: int) -> np.ndarray:
    """(P,) bool: the token continues the word of the token before it."""
    without_space = np.array([bool(string) and not string[0].isspace() for string in strings])[tokens]
    capital = np.array([string[:1].isupper() for string in strings])[tokens]
    lower_end = np.array([string[-1:].islower() for string in strings])[tokens]
    short = np.array([string.lower() in _CONTRACTED for string in strings])[tokens]
    is_contraction = np.array([bool(_CONTRACTION.fullmatch(string)) for string in strings])[tokens]
    previous, following = np.roll(kinds, 1), np.roll(kinds, -1)
    camel = capital & np.roll(lower_end, 1)
    joins = without_space & (kinds == previous) & np.isin(kinds, (LETTERS, DIGITS)) & ~camel
    joins |= (
        (kinds == APOSTROPHE) & (previous == LETTERS) & (is_contraction | ((following == LETTERS) & np.roll(short, -1)))
    )
    joins |= short & np.roll(joins & (kinds == APOSTROPHE) & ~is_contraction, 1)
    joins[::width] = False
    return joins


def _spell(tokens: np.ndarray, word_starts: np.ndarray, strings: list[str]) -> list[str]:
    ids = tokens.tolist()
    ends = [*word_starts[1:].tolist(), len(ids)]
    plain = [string.strip(" ") or string for string in strings]
    return [
        plain[ids[first]] if end == first + 1 else "".join(strings[i] for i in ids[first:end]).strip()
        for first, end in zip(word_starts.tolist(), ends, strict=True)
    ]


def _number(items: list[str]) -> tuple[list[str], np.ndarray]:
    """Distinct items in order of appearance, and the number of each item in that order."""
    numbers: dict[str, int] = {}
    numbered = np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)
    return list(numbers), numbered


def _neighbour_positions(
    word_starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each word, the last position of the word before it and the first of the word after it, or -1."""
    count = len(word_starts)
    blank = kinds[word_starts] == SPACE
    order = np.arange(count)
    last = np.concatenate([[-1], np.maximum.accumulate(np.where(blank, -1, order))[:-1]])
    reverse = np.minimum.accumulate(np.where(blank, count, order)[::-1])[::-1]
    following = np.append(reverse[1:], count)
    context = np.append(word_starts // width, -1)
    before = np.where((last >= 0) & (context[last] == context[:-1]), ends[word_starts[last]] - 1, -1)
    in_same_context = context[following] == context[:-1]
    return before, np.where(in_same_context, word_starts[np.minimum(following, count - 1)], -1)
