"""Chooses the texts that an explanation is scored on. The same candidates and seed give the same texts."""

from collections.abc import Iterable, Sequence

import numpy as np

from memicos_autointerp_core.scorers.interface import ScoredText


def cut_window(tokens: Sequence[str], position: int, around: int, first: int) -> tuple[int, int]:
    """Start and end of the window of `around` tokens on both sides of `position`, not before position `first`."""
    return max(first, position - around), min(len(tokens), position + around + 1)


def distance_of_group(group: int, intervals: int) -> int:
    """Distance of an example: 1 for the strongest (group 0), then 2 to intervals + 1 from strong to weak."""
    return 1 if group == 0 else 2 + intervals - group


def draw_active(candidates: Iterable[ScoredText], count: int, generator: np.random.Generator) -> list[ScoredText]:
    """At most `count` distinct texts, evenly over the distances.

    Each round draws one text of each distance, from near to far, until there are enough or none is left.
    """
    by_distance: dict[int, list[ScoredText]] = {}
    for text in _distinct(candidates):
        by_distance.setdefault(text.distance, []).append(text)
    queues = []
    for distance in sorted(by_distance):
        texts = by_distance[distance]
        queues.append([texts[i] for i in generator.permutation(len(texts))])
    rounds = max((len(queue) for queue in queues), default=0)
    drawn = [queue[number] for number in range(rounds) for queue in queues if number < len(queue)]
    return drawn[:count]


def draw_inactive(candidates: Iterable[ScoredText], count: int, generator: np.random.Generator) -> list[ScoredText]:
    """At most `count` distinct texts among those on which the feature is not active, in random order."""
    texts = [text for text in _distinct(candidates) if not text.active]
    return [texts[i] for i in generator.permutation(len(texts))[:count]]


def _distinct(texts: Iterable[ScoredText]) -> list[ScoredText]:
    """Texts without those that repeat the tokens of an earlier one."""
    return list({tuple(text.tokens): text for text in reversed(list(texts))}.values())[::-1]
