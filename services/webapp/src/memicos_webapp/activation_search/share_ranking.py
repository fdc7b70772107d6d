"""Ranking of features by share: a feature's activation on a text, divided by its maximum activation in its dataset.

Raw activations of different sources are not comparable: their scale grows with the layer, so the deepest layers would
fill the results. Shares are comparable, as each is relative to the feature's own maximum. A share may exceed 1.
Features without a maximum activation (dead in the dataset, or not imported) have no share.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

FeatureKey = tuple[str, int]
"""(name of the source, feature index)."""


@dataclass(frozen=True)
class SourceActivations:
    """Activations of one source on a text: by feature index, (position, activation) where it is above 0.

    `ignored`: positions that take no part in the ranking.
    """

    source: str
    features: Mapping[int, Sequence[tuple[int, float]]]
    ignored: frozenset[int]


@dataclass(frozen=True)
class RankedFeature:
    """A feature on a text. `values` has one value per token; `max_value` is over the positions that count.

    `sum_values`: the sum at the positions to rank by; None where there are none. `share`: that sum, or else
    `max_value`, divided by the feature's maximum activation in its dataset; None where it has none.
    """

    source: str
    index: int
    values: list[float]
    max_value: float
    max_value_index: int
    sum_values: float | None
    share: float | None


def rank_by_share(
    sources: Sequence[SourceActivations],
    maxima: Mapping[FeatureKey, float],
    tokens: int,
    positions: Sequence[int],
    limit: int,
) -> list[RankedFeature]:
    """The `limit` features with the largest share, largest first; ties in the order of `sources`, then by index.

    Args:
        maxima: maximum activations in the dataset, above 0, of the features that may be results.
        tokens: number of tokens of the text.
        positions: rank by the sum at these positions; empty: by the maximum.
    """
    ranked = heapq.nsmallest(limit, _shares(sources, maxima, frozenset(positions)))
    return [
        _ranked_feature(sources[number], index, -negative_share, tokens, positions)
        for negative_share, number, index in ranked
    ]


def _shares(
    sources: Sequence[SourceActivations], maxima: Mapping[FeatureKey, float], positions: frozenset[int]
) -> Iterator[tuple[float, int, int]]:
    """(-share, number of the source, index) of every feature with an activation that counts."""
    for number, source in enumerate(sources):
        for index, pairs in source.features.items():
            maximum = maxima.get((source.source, index))
            if not maximum:
                continue
            counted = [
                value
                for position, value in pairs
                if position not in source.ignored and (not positions or position in positions)
            ]
            if counted:
                yield -(sum(counted) if positions else max(counted)) / maximum, number, index


def _ranked_feature(
    source: SourceActivations, index: int, share: float, tokens: int, positions: Sequence[int]
) -> RankedFeature:
    values = [0.0] * tokens
    for position, value in source.features[index]:
        values[position] = value
    counted = [i for i in range(tokens) if i not in source.ignored]
    strongest = max(counted, key=values.__getitem__)
    return RankedFeature(
        source=source.source,
        index=index,
        values=values,
        max_value=values[strongest],
        max_value_index=strongest,
        sum_values=sum(values[i] for i in set(positions) - source.ignored) if positions else None,
        share=share,
    )
