"""Near misses: examples of neighbours on which the feature is not active, evenly over neighbours and steps."""

from collections import Counter

import numpy as np
import pytest
from memicos_autointerp_core.scorers.interface import NEAR_MISS, NOT_ACTIVE, ScoredText
from memicos_autointerp_core.scorers.sampling import Negatives, NeighbourExample, draw_near_misses, draw_negatives
from memicos_testing.planted_feature import LAW, SEA, text


def _inactive(name: str) -> ScoredText:
    return ScoredText([name, " text"], [0, 0], NOT_ACTIVE)


NEIGHBOURS = [
    NeighbourExample(rank, step, _inactive(f"{rank} {step} {number}"))
    for rank in range(3)
    for step in (1, 2, 3)
    for number in range(4)
]


def _kind(text: ScoredText) -> tuple[int, int]:
    rank, step, _ = text.tokens[0].split()
    return int(rank), int(step)


def test_each_pair_of_neighbour_and_step_comes_once_a_round() -> None:
    drawn = draw_near_misses(NEIGHBOURS, 18, np.random.default_rng(0))
    assert len({tuple(text.tokens) for text in drawn}) == 18
    assert Counter(map(_kind, drawn)) == {(rank, step): 2 for rank in range(3) for step in (1, 2, 3)}
    # strong examples first, of near neighbours before far ones
    assert [_kind(text) for text in drawn[:5]] == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2)]
    assert {text.distance for text in drawn} == {NEAR_MISS}
    assert len(draw_near_misses(NEIGHBOURS, 99, np.random.default_rng(0))) == 36


def test_a_text_on_which_the_feature_is_active_is_no_near_miss() -> None:
    examples = [NeighbourExample(0, 1, text(SEA[0], 1, active=True)), NeighbourExample(0, 1, text(LAW[0], 1, False))]
    drawn = draw_near_misses(examples, 9, np.random.default_rng(0))
    assert [item.tokens for item in drawn] == [examples[1].text.tokens]


def test_the_same_seed_draws_the_same_texts() -> None:
    first, again, other = [draw_near_misses(NEIGHBOURS, 5, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert first == again != other


@pytest.mark.parametrize(("share", "near", "random"), [(0, 0, 10), (0.5, 5, 5), (1, 10, 0)])
def test_the_share_of_near_misses(share: float, near: int, random: int) -> None:
    pool = [_inactive(f"random {number}") for number in range(30)]
    drawn = draw_negatives(pool, NEIGHBOURS, Negatives(10, share), np.random.default_rng(0))
    counts = Counter(text.distance for text in drawn)
    assert (counts[NEAR_MISS], counts[NOT_ACTIVE]) == (near, random)


def test_missing_near_misses_are_replaced_and_no_text_is_twice() -> None:
    pool = [_inactive("0 1 0"), *(_inactive(f"random {number}") for number in range(30))]
    drawn = draw_negatives(pool, NEIGHBOURS[:1], Negatives(10, 1.0), np.random.default_rng(0))
    assert Counter(text.distance for text in drawn) == {NEAR_MISS: 1, NOT_ACTIVE: 9}
    assert len({tuple(text.tokens) for text in drawn}) == 10


@pytest.mark.parametrize(("count", "share"), [(0, 0.0), (5, -0.1), (5, 1.1)])
def test_impossible_choices_are_refused(count: int, share: float) -> None:
    with pytest.raises(ValueError, match="near_share from 0 to 1"):
        Negatives(count, share)
