"""Near misses: examples of neighbours on which the feature is not active, evenly over neighbours and quantile steps."""

from collections import Counter

import numpy as np
from memicos_autointerp_core.scorers.interface import NEAR_MISS, NOT_ACTIVE, ScoredText
from memicos_autointerp_core.scorers.sampling import (
    PLACES_PER_NEAR_MISS,
    NeighbourExamples,
    Place,
    draw_others,
    first_inactive,
    near_miss_places,
)
from memicos_testing.planted_feature import LAW, SEA, text

INTERVALS = 2
NEIGHBOURS = [
    # groups 0 (strongest), 2 (strong interval), 1 (weak interval): steps 1, 2 and 3; four examples of each
    NeighbourExamples(
        INTERVALS,
        [group for group in (0, 1, 2) for _ in range(4)],
        [100 * rank + number for number in range(12)],
        [group for group in (0, 1, 2) for _ in range(4)],
    )
    for rank in range(3)
]
STEP_OF_GROUP = {0: 1, 2: 2, 1: 3}


def _kind(place: Place) -> tuple[int, int]:
    return place.context // 100, STEP_OF_GROUP[place.position]


def _places(count: int, seed: int = 0, own: frozenset[int] = frozenset()) -> list[Place]:
    return near_miss_places(NEIGHBOURS, own, count, np.random.default_rng(seed))


def test_each_pair_of_neighbour_and_step_comes_once_a_round() -> None:
    drawn = _places(5)[:18]
    assert len(set(drawn)) == 18
    assert Counter(map(_kind, drawn)) == {(rank, step): 2 for rank in range(3) for step in (1, 2, 3)}
    # strong examples first, of near neighbours before far ones
    assert [_kind(place) for place in drawn[:5]] == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2)]
    assert {place.distance for place in drawn} == {NEAR_MISS}
    assert (len(_places(5)), len(_places(99))) == (5 * PLACES_PER_NEAR_MISS, 36)


def test_contexts_of_the_feature_itself_are_left_out() -> None:
    own = frozenset(range(100, 112))
    assert {place.context // 100 for place in _places(99, own=own)} == {0, 2}


def test_the_same_seed_gives_the_same_places() -> None:
    assert _places(5, 1) == _places(5, 1) != _places(5, 2)


def test_the_first_texts_without_the_feature_are_taken_each_once() -> None:
    silent = [text(words, 1, active=False) for words in LAW]
    found = first_inactive([text(SEA[0], 1, active=True), silent[0], silent[0], *silent[1:]], 2)
    assert [item.tokens for item in found] == [silent[0].tokens, silent[1].tokens]
    assert first_inactive(silent, 1, found) == [silent[2]]


def test_missing_near_misses_are_replaced_and_no_text_is_twice() -> None:
    near = [ScoredText(["0", " text"], [0, 0], NEAR_MISS)]
    pool = [ScoredText([str(number), " text"], [0, 0], NOT_ACTIVE) for number in range(30)]
    drawn = draw_others(pool, near, 10, np.random.default_rng(0))
    assert len(drawn) == 9 and len({tuple(item.tokens) for item in [*near, *drawn]}) == 10
