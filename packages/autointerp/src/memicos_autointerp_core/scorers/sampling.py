"""Chooses the texts that an explanation is scored on. The same candidates and seed give the same texts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from memicos_autointerp_core.scorers.interface import NEAR_MISS, ScoredText

Item = TypeVar("Item")

NEIGHBOURS = 5
"""Nearest features whose examples are near misses."""
NEAR_SHARE = 0.5
"""Share of the texts on which the feature is not active that are near misses, where these are asked for."""
PLACES_PER_NEAR_MISS = 4
"""Examples of neighbours that are checked for each near miss: the feature is often active on them as well."""


@dataclass(frozen=True)
class Place:
    """Where a text may be cut: `position` of a context, and the distance that the text will have."""

    context: int
    position: int
    distance: int


@dataclass(frozen=True)
class NeighbourExamples:
    """The examples of a neighbour, a feature with a similar decoder.

    Attributes:
        intervals: number of the neighbour's quantile intervals.
        groups, contexts, positions: of each example; the group is as `distance_of_group` takes it.
    """

    intervals: int
    groups: Sequence[int]
    contexts: Sequence[int]
    positions: Sequence[int]


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
    return _in_rounds([by_distance[distance] for distance in sorted(by_distance)], count, generator)


def draw_inactive(candidates: Iterable[ScoredText], count: int, generator: np.random.Generator) -> list[ScoredText]:
    """At most `count` distinct texts among those on which the feature is not active, in random order."""
    texts = [text for text in _distinct(candidates) if not text.active]
    return [texts[i] for i in generator.permutation(len(texts))[:count]]


def near_miss_count(count: int) -> int:
    """Near misses among `count` texts on which the feature is not active."""
    return round(count * NEAR_SHARE)


def near_miss_places(
    neighbours: Sequence[NeighbourExamples], own_contexts: Collection[int], count: int, generator: np.random.Generator
) -> list[Place]:
    """Places to check for `count` near misses, best first: at most PLACES_PER_NEAR_MISS for each.

    Each round takes one example of each pair of neighbour and quantile step: the strongest examples of all neighbours
    first, from the nearest to the farthest, then their weaker ones. The feature may be active at a place: the model has
    to be run on it, as stored examples are the strongest only (`first_inactive`).

    Args:
        neighbours: the nearest first.
        own_contexts: contexts in which the feature has an example; they are left out.
    """
    by_pair: dict[tuple[int, int], list[Place]] = {}
    for rank, examples in enumerate(neighbours):
        for group, context, position in zip(examples.groups, examples.contexts, examples.positions, strict=True):
            if context not in own_contexts:
                step = distance_of_group(group, examples.intervals)
                by_pair.setdefault((step, rank), []).append(Place(context, position, NEAR_MISS))
    return _in_rounds([by_pair[pair] for pair in sorted(by_pair)], PLACES_PER_NEAR_MISS * count, generator)


def first_inactive(candidates: Iterable[ScoredText], count: int, taken: Iterable[ScoredText] = ()) -> list[ScoredText]:
    """The first `count` of the candidates on which the feature is not active, without two of the same tokens, and none
    with those of `taken`."""
    others = {tuple(text.tokens) for text in taken}
    found: dict[tuple[str, ...], ScoredText] = {}
    for text in candidates:
        if len(found) == count:
            break
        if not text.active and tuple(text.tokens) not in others:
            found.setdefault(tuple(text.tokens), text)
    return list(found.values())


def draw_others(
    candidates: Iterable[ScoredText], near: Sequence[ScoredText], count: int, generator: np.random.Generator
) -> list[ScoredText]:
    """`draw_inactive` of texts from random contexts beside the near misses `near`, so that there are `count` of both
    together; none repeats the tokens of a near miss."""
    taken = {tuple(text.tokens) for text in near}
    return draw_inactive((text for text in candidates if tuple(text.tokens) not in taken), count - len(near), generator)


def _in_rounds(groups: Sequence[Sequence[Item]], count: int, generator: np.random.Generator) -> list[Item]:
    """At most `count` items: each round takes one of each group, in random order within the group."""
    queues = [[items[i] for i in generator.permutation(len(items))] for items in groups]
    rounds = max((len(queue) for queue in queues), default=0)
    drawn = [queue[number] for number in range(rounds) for queue in queues if number < len(queue)]
    return drawn[:count]


def _distinct(texts: Iterable[ScoredText]) -> list[ScoredText]:
    """Texts without those that repeat the tokens of an earlier one."""
    return list({tuple(text.tokens): text for text in reversed(list(texts))}.values())[::-1]
