"""Texts of a planted feature, which is active on the words SEA, and texts on which it is not."""

import random

from memicos_autointerp_core.scorers.interface import NOT_ACTIVE, ScoredText

SEA = ("whale", "ship", "sail", "anchor")
LAW = ("senate", "law", "court", "judge")
OTHER = ("volcano", "piano")
"""Words of an explanation that no text fits."""
FILLER = ("the", "of", "and", "a", "in", "it", "was", "on")


def text(word: str, number: int, active: bool, distance: int | None = None) -> ScoredText:
    """Seven filler words and `word`, on which the feature has the value 9 where it is active."""
    chooser = random.Random(f"{word}{number}{active}")
    tokens = [f" {chooser.choice(FILLER)}" for _ in range(8)]
    place = chooser.randrange(8)
    tokens[place] = f" {word}"
    values = [9.0 if i == place and active else 0.0 for i in range(8)]
    return ScoredText(tokens, values, distance or (1 if active else NOT_ACTIVE))


TEXTS = [text(SEA[i % 4], i, True) for i in range(50)] + [text(LAW[i % 4], i, False) for i in range(50)]
