"""Parts of prompts: texts on one line, with their strongly active tokens between marks; numbered lines; texts on which
the feature is silent."""

from collections.abc import Sequence

from memicos_autointerp_core.explainers.interface import ActivatingText

MARKS = (("<<", ">>"), ("[[", "]]"), ("{{", "}}"), ("⟪", "⟫"))
"""Pairs of marks; the first pair that occurs in no text is used."""


def one_line(text: str) -> str:
    """The text with its line breaks escaped."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def mark_tokens(text: ActivatingText, highlight_share: float, marks: tuple[str, str]) -> str:
    """The text on one line, with runs of strongly active tokens between `marks`.

    A token is strong above `highlight_share` times the largest activation of its text. A token without text is part
    of the character that a later token completes: the character is marked if any of its tokens is strong.
    """
    threshold = highlight_share * max(text.values)
    pieces: list[str] = []
    inside = False
    largest = 0.0
    for token, value in zip(text.tokens, text.values, strict=True):
        largest = max(largest, value)
        if not token:
            continue
        strong = largest > max(threshold, 0)
        largest = 0.0
        if strong != inside:
            pieces.append(marks[0] if strong else marks[1])
            inside = strong
        pieces.append(token)
    if inside:
        pieces.append(marks[1])
    return one_line("".join(pieces))


def choose_marks(texts: Sequence[ActivatingText]) -> tuple[str, str]:
    """The first pair of marks that no text contains; the last pair where every pair occurs."""
    joined = "\0".join("".join(text.tokens) for text in texts)
    return next((pair for pair in MARKS if pair[0] not in joined and pair[1] not in joined), MARKS[-1])


def numbered(lines: Sequence[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def negative_part(negatives: Sequence[ActivatingText]) -> str:
    """The part of a prompt with contrastive texts; empty where there are none."""
    if not negatives:
        return ""
    lines = numbered([one_line("".join(text.tokens)) for text in negatives])
    return f"\n\nOn these texts, which similar features detect, this feature is silent. Do not describe them:\n{lines}"
