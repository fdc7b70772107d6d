"""Text of descriptions: names of punctuation marks, quotation marks around words, lists."""

from collections.abc import Sequence

MARKS = {
    ",": "commas", ".": "full stops", ";": "semicolons", ":": "colons", "-": "hyphens", "--": "double dashes",
    "—": "dashes", "–": "dashes", "!": "exclamation marks", "?": "question marks", '"': "quotation marks",
    "“": "opening quotation marks", "”": "closing quotation marks", "'": "apostrophes", "’": "apostrophes",
    "(": "opening brackets", ")": "closing brackets", "[": "opening square brackets", "]": "closing square brackets",
    "{": "opening braces", "}": "closing braces", "/": "slashes", "\\": "backslashes", "=": "equals signs",
    "==": "double equals signs", "*": "asterisks", "_": "underscores", "__": "double underscores", "#": "hash signs",
    "$": "dollar signs", "%": "percent signs", "&": "ampersands", "+": "plus signs", "<": "less-than signs",
    ">": "greater-than signs", "|": "vertical bars", "@": "at signs", "~": "tildes", "\n": "line breaks",
    "\n\n": "blank lines", '"""': "triple quotation marks", "'s": "possessive 's", "()": "empty call brackets",
    "):": "the '):' that ends a call or signature", "°": "degree signs",
}  # fmt: skip
"""Names of marks; other words are quoted."""
ROW = 4
"""Smallest number of equal marks that is called a row."""


def mark_name(key: str) -> str | None:
    """The plural name of a mark; None for other words."""
    if key in MARKS:
        return MARKS[key]
    if key and not key.strip():
        if "\n" in key:
            blank = "blank lines" if key.count("\n") > 1 else "line breaks"
            return f"{blank} before indented text" if key.endswith(" ") else blank
        return "single spaces" if len(key) == 1 else "runs of spaces"
    if len(key) >= ROW and len(set(key)) == 1:
        return f"rows of '{key[0]}'"
    return None


def quoted(word: str) -> str:
    """Quote `word` with marks that it does not contain, and make line breaks and tabs visible."""
    escaped = word.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f'"{escaped}"' if "'" in escaped else f"'{escaped}'"


def promoted_word(token: str) -> str:
    """A promoted token in quotation marks: `'been'` for " been", and `'-ing'` for "ing", which continues a word."""
    word = token.strip()
    return quoted(word if word != token or not word[:1].islower() else f"-{word}")


def join_words(items: Sequence[str], last: str = ", ") -> str:
    """Join items as "a, b, c"; `last` is the separator before the last one, such as " or " in "a, b or c"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + last + items[-1]
