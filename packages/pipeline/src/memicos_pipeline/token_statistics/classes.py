"""Classes of words (numbers, family, code ...) of each position of a corpus.

Word lists are in lexicon.toml; classes that a list cannot define (years, days of a month, code) are computed here.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

import numpy as np

from memicos_pipeline.token_statistics.text import APOSTROPHE, BREAK, DIGITS, MARK, Text

CODE_MARKERS = 0.06
"""A context is code if at least this share of its tokens are marks or names that hardly occur outside code."""

_MARKER = re.compile(
    r"\s*(\S*(__|\(\)|\):|==|\(\"|\('|\)\.|\._|\[\"|\['|\"\"\"|'''|!=|>>>|\+=|_)\S*|=|self|def|None|elif)"
)
_CODE_MARK = re.compile(r"\s*\S*[()\[\]{}=_<>+*/\\@%|&#~^]\S*|\s*(\"\"\"|'''|\):?|:)")
_KEYWORDS = """if else for while in not and or is return class import from with as try except finally raise pass break
    continue print assert global del yield object type name value args list set file open range string function
    method module code error line path index key data result item test"""
_SUFFIXES = "ing ed ly tion ment ness ity est er ous ive able al ism ist ance ence ship s".split()  # noqa: SIM905
_SENTENCE_END = re.compile(r"""\s*[.?!]+["'”’)\]]*""")
_QUOTE = re.compile(r"""\s*[,.?!]?["“”‘’'`]+""")
_BRACKET = re.compile(r"\s*[()\[\]{}]+")
_DASH = re.compile(r"\s*[-–—]+")


@dataclass(frozen=True)
class Classes:
    """Classes of the positions of a corpus.

    `labels` (C,); `weak` (C,) marks classes that depend on spelling alone; `members` (P, C) bool. `parents` (C,) is the
    column of the group that a class belongs to, or -1; a group's column is the union of its classes' columns.
    """

    labels: list[str]
    weak: np.ndarray
    members: np.ndarray
    parents: list[int]
    code: np.ndarray
    """(P,) bool: the position lies in a context of code."""
    grammar: np.ndarray
    """(C,) bool: classes of words that are frequent in every text."""
    digits: np.ndarray
    """(C,) bool: classes of numbers in digits."""
    ambiguous: frozenset[str]
    """Words whose class is not named if the feature is about one word alone."""


def find_classes(text: Text, width: int) -> Classes:
    """Find the classes of every position of `text`, in order of preference among equal shares."""
    entries = tomllib.loads(
        resources.files("memicos_pipeline.token_statistics").joinpath("lexicon.toml").read_text(encoding="utf-8")
    )
    groups: dict[str, str] = entries.pop("groups")
    ambiguous = frozenset(entries.pop("ambiguous")["words"].split())
    columns: dict[str, np.ndarray] = {}
    labels = {name: entry["label"] for name, entry in entries.items()}
    parent = {name: entry["group"] for name, entry in entries.items() if "group" in entry}
    for name, entry in entries.items():
        columns[name] = _listed(text, entry["words"].split())
    code = _code_contexts(text, width)
    columns["code"] = code & (columns["code"] | _has_key(text, _KEYWORDS.split()) | _matches(text, _CODE_MARK, MARK))
    # Python's None is not a negation
    columns["negation"] &= ~(code & np.array([form == "None" for form in text.forms])[text.words])
    _add_numbers(text, columns, labels, parent)
    strong = len(columns)
    _add_forms(text, columns, labels)
    names = list(columns)
    first_group = len(names)
    for group, label in groups.items():
        columns[f"group {group}"] = np.logical_or.reduce([columns[name] for name in names if parent.get(name) == group])
        labels[f"group {group}"] = label
    grammar = np.array([bool(entries.get(name, {}).get("grammar")) for name in columns])
    digits = np.array([name in ("day", "year", "digits") for name in columns])
    weak = np.array([strong <= i < first_group for i in range(len(columns))])
    parents = [first_group + list(groups).index(parent[name]) if name in parent else -1 for name in columns]
    return Classes(
        [labels[name] for name in columns],
        weak,
        np.stack(list(columns.values()), axis=1),
        parents,
        code,
        grammar,
        digits,
        ambiguous,
    )


def _has_key(text: Text, words: Iterable[str]) -> np.ndarray:
    keys = frozenset(words)
    return np.array([key in keys for key in text.keys])[text.folded]


def _listed(text: Text, words: list[str]) -> np.ndarray:
    exact = {word for word in words if not word.islower()}
    any_case = set(words) - exact
    single = np.array(
        [form in exact or form.casefold().replace("’", "'") in any_case for form in text.forms], dtype=bool
    )[text.words]
    for first, second in (word.split("_") for word in words if word.count("_") == 1 and word.strip("_") == word):
        if "" not in (first, second):
            single |= _pair(text, first, second)
    return single


def _pair(text: Text, first: str, second: str) -> np.ndarray:
    """Mark the positions of both words of the name "first second"."""
    numbers = {form: i for i, form in enumerate(text.forms)}
    head, tail = numbers.get(first, -1), numbers.get(second, -1)
    heads = (text.words == head) & (text.after >= 0) & (text.words[text.after] == tail)
    tails = (text.words == tail) & (text.before >= 0) & (text.words[text.before] == head)
    return heads | tails


def _matches(text: Text, pattern: re.Pattern[str], kind: int) -> np.ndarray:
    token_matches = np.array([bool(pattern.fullmatch(string)) for string in text.strings])
    return token_matches[text.tokens] & (text.kinds == kind)


def _code_contexts(text: Text, width: int) -> np.ndarray:
    marker = np.array([bool(_MARKER.fullmatch(string)) for string in text.strings])[text.tokens]
    written = np.array([bool(string) for string in text.strings])[text.tokens]  # not the padding of short contexts
    counts = written.reshape(-1, width)[:, 1:].sum(axis=1)
    share = marker.reshape(-1, width)[:, 1:].sum(axis=1) / np.maximum(counts, 1)
    return np.repeat(share >= CODE_MARKERS, width)


def _add_numbers(text: Text, columns: dict[str, np.ndarray], labels: dict[str, str], parent: dict[str, str]) -> None:
    digits = text.kinds == DIGITS
    # isdecimal, not isdigit: isdigit accepts "²", which int() rejects
    year = np.array([len(key) == 4 and key.isdecimal() and 1000 <= int(key) < 2100 for key in text.keys])[text.folded]
    day = np.array([key.isdecimal() and len(key) < 3 and 0 < int(key) <= 31 for key in text.keys])[text.folded]
    month = columns["month"]
    next_to_month = (text.before >= 0) & month[text.before] | (text.after >= 0) & month[text.after]
    for name, label, group, members in (
        ("day", "dates: days of the month", "dates", digits & day & next_to_month),
        ("year", "numbers: years", "numbers", digits & year),
        ("digits", "numbers: digits", "numbers", digits),
    ):
        columns[name], labels[name], parent[name] = members, label, group


def _add_forms(text: Text, columns: dict[str, np.ndarray], labels: dict[str, str]) -> None:
    """Add classes that depend on spelling alone; they are named only if no other class fits."""
    for name, label, pattern in (
        ("sentence end", "ends of sentences", _SENTENCE_END),
        ("quote", "quotation marks", _QUOTE),
        ("bracket", "brackets", _BRACKET),
        ("dash", "hyphens and dashes", _DASH),
    ):
        columns[name], labels[name] = _matches(text, pattern, MARK) | _matches(text, pattern, APOSTROPHE), label
    columns["break"], labels["break"] = text.kinds == BREAK, "line breaks"
    for suffix in _SUFFIXES:
        stem_limit = len(suffix) + 2
        matches = [key.endswith(suffix) and len(key) > stem_limit and key.isalpha() for key in text.keys]
        columns[f"-{suffix}"], labels[f"-{suffix}"] = np.array(matches)[text.folded], f"words ending in '-{suffix}'"
    for name, label, members in (
        ("capitals", "words in capitals", [form.isupper() and len(form) > 1 for form in text.forms]),
        ("letter", "single letters", [form.isalpha() and len(form) == 1 for form in text.forms]),
        ("capitalised", "capitalised words", [form[:1].isupper() and not form.isupper() for form in text.forms]),
    ):
        columns[name], labels[name] = np.array(members)[text.words], label
