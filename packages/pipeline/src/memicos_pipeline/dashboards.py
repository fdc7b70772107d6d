"""Sparse activations -> what a dashboard shows of each feature.

Statistics follow SAEDashboard's definitions (https://github.com/jbloomAus/SAEDashboard): quantile groups are equal
intervals of (0, max]. Everything is over counted tokens alone and does not depend on chance: draws are seeded by
source, feature and group.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from memicos_dataset.schema import TOP_GROUP

from memicos_pipeline.config import DashboardConfig
from memicos_pipeline.harvest import Activations

SNIPPET_BEFORE, SNIPPET_AFTER = 12, 4
"""Two examples whose tokens are equal from so many before to so many after their position are not distinct."""


@dataclass(frozen=True)
class Example:
    """`positions` and `values` are the feature's sparse activations over the context; group 0 holds the strongest."""

    group: int
    context: int
    position: int
    positions: np.ndarray
    values: np.ndarray


@dataclass
class FeatureStatistics:
    """One feature on the corpus. `histogram` and `quantile_shares` are empty when it is never active."""

    index: int
    density: float = 0.0
    active_tokens: int = 0
    max_activation: float = 0.0
    histogram: list[int] = field(default_factory=list)
    quantile_shares: list[float] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def feature_statistics(
    source_id: str, activations: Activations, token_ids: np.ndarray, config: DashboardConfig
) -> Iterator[FeatureStatistics]:
    """Statistics and examples of every feature, in order of index, from `token_ids` (N, T) and their activations."""
    columns = activations.matrix.tocsc()
    counted = int(activations.counted.sum())
    for index in range(len(columns.indptr) - 1):
        piece = slice(columns.indptr[index], columns.indptr[index + 1])
        tokens, values = columns.indices[piece], columns.data[piece]
        if len(values) == 0:
            yield FeatureStatistics(index)
            continue
        picker = _Picker(tokens, values, token_ids)
        picker.take_top(config.top_examples)
        shares = picker.take_groups(f"{source_id}/{index}", config.quantile_groups, config.examples_per_group)
        top = float(values.max())
        yield FeatureStatistics(
            index=index,
            density=len(values) / counted,
            active_tokens=len(values),
            max_activation=top,
            histogram=np.histogram(values, bins=config.histogram_bins, range=(0.0, top))[0].tolist(),
            quantile_shares=shares,
            examples=picker.examples,
        )


class _Picker:
    """Takes examples of one feature, active at `tokens` (n,) of the flattened contexts with `values` (n,)."""

    def __init__(self, tokens: np.ndarray, values: np.ndarray, token_ids: np.ndarray) -> None:
        self.tokens, self.values, self.token_ids = tokens, values, token_ids
        self.examples: list[Example] = []
        self.order = np.lexsort((tokens, -values))

    def take_top(self, wanted: int) -> None:
        """The strongest activations in distinct contexts."""
        for candidate in self._distinct(self.order, wanted, set()):
            self._add(candidate, TOP_GROUP)

    def take_groups(self, seed: str, groups: int, wanted: int) -> list[float]:
        """Random activations of each quantile group; returns the share of activations in each.

        No two groups show the same context. One of the strongest examples is shown again only where a group has too
        few others.
        """
        top = {mark for example in self.examples for mark in self._marks(example.context, example.position)}
        shown: set[int | bytes] = set()
        edges = self.values.max() * np.arange(1, groups) / groups
        group_of = np.searchsorted(edges, self.values, side="left")
        shares = []
        for group in range(groups):
            members = self.order[group_of[self.order] == group].tolist()
            shares.append(len(members) / len(self.values))
            random.Random(f"{seed}/{group}").shuffle(members)
            fresh = self._distinct(members, wanted, shown | top)
            shown.update(mark for candidate in fresh for mark in self._marks(*self._place(candidate)))
            again = self._distinct(members, wanted - len(fresh), shown)
            shown.update(mark for candidate in again for mark in self._marks(*self._place(candidate)))
            for candidate in fresh + again:
                self._add(candidate, TOP_GROUP + 1 + group)
        return shares

    def _distinct(self, candidates: Iterable[int], wanted: int, shown: set[int | bytes]) -> list[int]:
        """The first `wanted` candidates whose contexts and snippets are not in `shown`, nor equal to one another's."""
        seen = set(shown)
        found: list[int] = []
        for candidate in candidates:
            if len(found) == wanted:
                break
            marks = self._marks(*self._place(candidate))
            if seen.isdisjoint(marks):
                seen.update(marks)
                found.append(candidate)
        return found

    def _place(self, candidate: int) -> tuple[int, int]:
        context, position = divmod(int(self.tokens[candidate]), self.token_ids.shape[1])
        return context, position

    def _marks(self, context: int, position: int) -> tuple[int, bytes]:
        """What no two distinct examples share: the context, and the tokens around the position."""
        row = self.token_ids[context]
        return context, row[max(0, position - SNIPPET_BEFORE) : position + SNIPPET_AFTER + 1].tobytes()

    def _add(self, candidate: int, group: int) -> None:
        context, position = self._place(candidate)
        start = context * self.token_ids.shape[1]
        first, end = np.searchsorted(self.tokens, [start, start + self.token_ids.shape[1]])
        self.examples.append(Example(group, context, position, self.tokens[first:end] - start, self.values[first:end]))
