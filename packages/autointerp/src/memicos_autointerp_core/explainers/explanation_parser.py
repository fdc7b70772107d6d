"""Parse a language model's answer: the phrase after the label EXPLANATION, without Markdown, quotes and brackets.

The time is linear in the length of the answer, whatever it holds: quantifiers are possessive (`*+`), so that nothing is
tried twice.
"""

import re

from memicos_autointerp_core.errors import ProviderError

_THINK, _END_THINK = "<think>", "</think>"
MAX_LABELS = 100
"""Labels after which a phrase is looked for."""

_LABEL_LINE = re.compile(
    r"^[ \t]*+(?:>[ \t]*+)*+"  # quoted text
    r"(?:(?:[-*+•–—]|\d++[.)])[ \t]++)?+"  # list item
    r"(?P<before>[^\w\n]*+_*+)(?P<label>EXPLANATION)(?P<between>[^\w\n:：–—-]*+_*+)[ \t]*+"
    r"(?P<end>[:：]|[–—-]++[ \t]|$)",
    re.MULTILINE | re.IGNORECASE,
)
_COLONS = (":", "：")
_LIST_MARK = re.compile(r"\A(?:[-*+•–—]|\d++[.)])[ \t]++(?=\S)")
_CODE_FENCE = "```"
_EMPTY_LINE = re.compile(r"\n[ \t]*+\n")
_DECORATION = re.compile(r"\*+|_+|`+|[\[({<\"'“‘«「『【]")

_QUOTES = {"**": "**", "*": "*", "__": "__", "_": "_", "`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}
_BRACKETS = {"[": "]", "(": ")", "{": "}", "<": ">", "「": "」", "『": "』", "【": "】"}
_CLOSING = _QUOTES | _BRACKETS


def parse_explanation(answer: str, max_characters: int) -> str:
    """The phrase after the first line that begins with `EXPLANATION:`, up to an empty line, as one line.

    Decoration is dropped: list items, quoted text, headings, code blocks, bold and italic text, brackets and quotation
    marks around the label or around the whole phrase. The label in capitals, as the prompt requests it, takes
    precedence over other spellings, and may be followed by a dash, or be alone on its line, in place of the colon.

    Raises:
        ProviderError: the answer has no such line, or the phrase is longer than `max_characters`.
    """
    text = _without_reasoning(answer).replace("\r\n", "\n")
    labels = [label for label in _LABEL_LINE.finditer(text) if label["label"].isupper() or label["end"] in _COLONS]
    ends = [*(label.start() for label in labels), len(text)][1:]
    # stable: by position within each spelling
    attempts = sorted(zip(labels, ends, strict=False), key=lambda attempt: not attempt[0]["label"].isupper())
    phrase = next((phrase for label, end in attempts[:MAX_LABELS] if (phrase := _phrase(text, label, end))), "")
    if not phrase:
        raise ProviderError("unreadable", "The model's answer has no line that begins with EXPLANATION:.")
    if len(phrase) > max_characters:
        raise ProviderError(
            "unreadable",
            f"The model's explanation has {len(phrase)} characters, more than {max_characters}.",
            "explanation_characters",
        )
    return phrase


def _without_reasoning(answer: str) -> str:
    """The answer without what stands between <think> and </think>."""
    parts, position = [], 0
    while (start := answer.find(_THINK, position)) >= 0 and (end := answer.find(_END_THINK, start)) >= 0:
        parts.append(answer[position:start])
        position = end + len(_END_THINK)
    return "".join([*parts, answer[position:]])


def _phrase(text: str, label: re.Match[str], next_label: int) -> str:
    """The phrase after a label; empty if there is none. `next_label` is where the next label begins, or the end."""
    rest = text[label.end() :]
    paragraph = _EMPTY_LINE.split(rest.lstrip(), maxsplit=1)[0]
    start = len(text) - len(rest.lstrip())
    if next_label <= start:
        return ""
    if next_label < start + len(paragraph):  # a second attempt follows: the phrase is one line
        paragraph = paragraph.split("\n", maxsplit=1)[0]
    if "\n" in text[label.end() : start]:  # the phrase on a line of its own may be a list item
        paragraph = _LIST_MARK.sub("", paragraph)
    lines = (line.strip().removeprefix(">") for line in paragraph.split("\n") if not line.startswith(_CODE_FENCE))
    phrase = " ".join(" ".join(lines).split())
    for opening in reversed(_DECORATION.findall(label["before"])):
        closing = str(_CLOSING.get(opening, opening))
        if closing in label["between"]:
            continue
        if phrase.startswith(closing):  # `**EXPLANATION:** phrase`
            phrase = phrase.removeprefix(closing).strip()
        else:  # `[EXPLANATION: phrase]`
            phrase = phrase.removesuffix(closing).strip()
    return _unwrap(phrase)


def _unwrap(phrase: str) -> str:
    """The phrase without pairs of marks around the whole of it: `"ships" and "whales"` is left as it is."""
    for opening, closing in _CLOSING.items():
        inner = phrase.removeprefix(opening).removesuffix(closing)
        is_pair = len(phrase) == len(inner) + len(opening) + len(closing)
        # brackets around a single word can be what the feature detects, such as <br>
        is_text = opening not in _BRACKETS or " " in inner
        if is_pair and is_text and inner and opening not in inner and closing not in inner:
            return _unwrap(inner.strip())
    return "" if not phrase.strip("*_`#\"'“”") else phrase
