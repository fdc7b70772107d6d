"""Chooses the texts that an explanation is scored on. The same candidates and seed give the same texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memicos_autointerp_core.scorers.interface import NEAR_MISS, ScoredText


@dataclass(frozen=True)
class NeighbourExample:
    """An example of a neighbour, a feature with a similar decoder.

    Attributes:
        rank: 0 for the nearest neighbour.
        step: the neighbour's activation there: 1 for its strongest examples, 2 and above for the quantiles of its
            activations from strong to weak (`distance_of_group`).
        text: with the values of the feature that is scored. A text on which it is active is no near miss.
    """

    rank: int
    step: int
    text: ScoredText


@dataclass(frozen=True)
class Negatives:
    """How texts on which the feature is not active are chosen.

    Attributes:
        count: number of texts.
        near_share: share of them that are near misses, 0 to 1; 0 draws all from random contexts. Near misses that
            there are not are replaced by texts from random contexts.
    """

    count: int
    near_share: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.near_share <= 1:
            raise ValueError(f"count is at least 1 and near_share from 0 to 1, not {self.count} and {self.near_share}")


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


def draw_near_misses(
    candidates: Iterable[NeighbourExample], count: int, generator: np.random.Generator
) -> list[ScoredText]:
    """At most `count` distinct texts of neighbours on which the feature is silent, evenly over neighbours and steps.

    Each round draws one text of each pair of neighbour and step: the strong examples of all neighbours first, from the
    nearest to the farthest, then their weaker ones. The distance of the texts is NEAR_MISS.
    """
    by_pair: dict[tuple[int, int], list[ScoredText]] = {}
    seen: set[tuple[str, ...]] = set()
    for example in sorted(candidates, key=lambda example: (example.step, example.rank)):
        tokens = tuple(example.text.tokens)
        if example.text.active or tokens in seen:
            continue
        seen.add(tokens)
        pair = (example.step, example.rank)
        by_pair.setdefault(pair, []).append(replace(example.text, distance=NEAR_MISS))
    return _in_rounds([by_pair[pair] for pair in sorted(by_pair)], count, generator)


def draw_negatives(
    random: Iterable[ScoredText],
    neighbours: Iterable[NeighbourExample],
    negatives: Negatives,
    generator: np.random.Generator,
) -> list[ScoredText]:
    """Distinct texts on which the feature is not active: near misses, then those from random contexts.

    There are fewer than `negatives.count` only where the candidates do not suffice.
    """
    near = draw_near_misses(neighbours, round(negatives.count * negatives.near_share), generator)
    taken = {tuple(text.tokens) for text in near}
    others = (text for text in random if tuple(text.tokens) not in taken)
    return near + draw_inactive(others, negatives.count - len(near), generator)


def _in_rounds(groups: Sequence[Sequence[ScoredText]], count: int, generator: np.random.Generator) -> list[ScoredText]:
    """At most `count` texts: each round takes one of each group, in random order within the group."""
    queues = [[texts[i] for i in generator.permutation(len(texts))] for texts in groups]
    rounds = max((len(queue) for queue in queues), default=0)
    drawn = [queue[number] for number in range(rounds) for queue in queues if number < len(queue)]
    return drawn[:count]


def _distinct(texts: Iterable[ScoredText]) -> list[ScoredText]:
    """Texts without those that repeat the tokens of an earlier one."""
    return list({tuple(text.tokens): text for text in reversed(list(texts))}.values())[::-1]
