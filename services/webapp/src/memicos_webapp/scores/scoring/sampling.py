"""Texts of a feature that its explanation is scored on. The same feature, seed and options give the same texts.

Texts on which the feature is active are its examples. Whether it is inactive on another text is decided by running the
model on its whole context (`inactive`): stored examples are the strongest only, so a context without one may well be
active.
"""

import random
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from memicos_autointerp_core.scorers.interface import MIN_PER_CLASS, NOT_ACTIVE, ScoredText
from memicos_autointerp_core.scorers.sampling import (
    NeighbourExamples,
    Place,
    cut_window,
    distance_of_group,
    draw_active,
    near_miss_places,
)
from memicos_dataset.schema import TOP_GROUP

from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.errors import Unavailable
from memicos_webapp.features.rows import ContextRow, FeatureRow

ACTIVE, NEAR, INACTIVE = range(3)
"""What a generator of random numbers is for: each has numbers of its own."""


def generator(seed: int, purpose: int, *also: int) -> np.random.Generator:
    """Random numbers of a purpose."""
    return np.random.default_rng([seed, purpose, *also])


def first_token(source: SourceInfo) -> int:
    """Position of the first token of a context that is part of its text."""
    return 1 if source.recipe["prepend_bos"] else 0


def window(source: SourceInfo, context: ContextRow, place: Place, around: int) -> range:
    """Positions of the tokens of a text."""
    return range(*cut_window(context.tokens, place.position, around, first_token(source)))


def _examples(
    source: SourceInfo, row: FeatureRow, contexts: dict[int, ContextRow], around: int
) -> Iterator[ScoredText]:
    intervals = len(row.quantile_shares)
    columns = (row.example_groups, row.example_contexts, row.example_positions, row.example_values())
    for group, number, position, values in zip(*columns, strict=True):
        context = contexts.get(number)
        if context is None or position >= len(context.tokens) or not TOP_GROUP <= group <= intervals:
            continue
        place = Place(number, position, distance_of_group(group, intervals))
        positions = window(source, context, place, around)
        shown = [values.get(i, 0.0) for i in positions]
        if max(shown, default=0.0) > 0:
            yield ScoredText([context.tokens[i] for i in positions], shown, place.distance, number, position)


def active_texts(
    source: SourceInfo, row: FeatureRow, contexts: dict[int, ContextRow], count: int, around: int, seed: int
) -> list[ScoredText]:
    """At most `count` distinct texts on which the feature is active, evenly over the strongest examples and the
    intervals of its activations."""
    return draw_active(_examples(source, row, contexts, around), count, generator(seed, ACTIVE))


def random_contexts(source: SourceInfo, count: int, seed: int, but: Iterable[int] = ()) -> list[int]:
    """At most `count` contexts of the corpus, none of `but`."""
    left_out = set(but)
    drawn = random.Random(f"inactive {seed}").sample(
        range(source.corpus_contexts), min(count + len(left_out), source.corpus_contexts)
    )
    return [number for number in drawn if number not in left_out][:count]


def random_places(source: SourceInfo, contexts: Iterable[ContextRow], around: int, seed: int) -> list[Place]:
    """One place in each context, such that its window is as long as it can be."""
    chooser = random.Random(f"places {seed}")
    places = []
    for context in contexts:
        low, high = first_token(source) + around, len(context.tokens) - around - 1
        position = chooser.randint(low, high) if low <= high else len(context.tokens) // 2
        places.append(Place(context.number, position, NOT_ACTIVE))
    return places


def near_places(neighbours: Sequence[FeatureRow], row: FeatureRow, count: int, seed: int) -> list[Place]:
    """Places to check for `count` near misses of a feature, best first (`near_miss_places`)."""
    examples = [
        NeighbourExamples(
            len(other.quantile_shares), other.example_groups, other.example_contexts, other.example_positions
        )
        for other in neighbours
    ]
    return near_miss_places(examples, set(row.example_contexts), count, generator(seed, NEAR))


def too_few(active: int, inactive: int) -> Unavailable | None:
    """Why texts do not suffice for a score; None where they do."""
    if min(active, inactive) >= MIN_PER_CLASS:
        return None
    return Unavailable(
        f"A score needs {MIN_PER_CLASS} texts on which the feature is active and {MIN_PER_CLASS} on which it is not: "
        f"there are {active} distinct examples, and {inactive} texts of other contexts on which the model showed that "
        "it is inactive. A feature that is active on most texts cannot be scored."
    )
