"""Statistics and examples of each feature from sparse activations.

Statistics follow SAEDashboard's definitions (https://github.com/jbloomAus/SAEDashboard): quantile groups are equal
intervals of (0, max]. Statistics are over counted tokens only. Draws are seeded by source, feature and group, so that
equal input gives equal examples.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from memicos_dataset.schema import NO_POSITION, TOP_GROUP

from memicos_pipeline.config import DashboardConfig
from memicos_pipeline.dashboards.histograms import activation_histogram
from memicos_pipeline.harvest import StoredActivations

SNIPPET_BEFORE, SNIPPET_AFTER = 12, 4
"""Examples with equal tokens from SNIPPET_BEFORE before to SNIPPET_AFTER after their position are not distinct."""


@dataclass(frozen=True)
class Example:
    """A context with the feature's sparse activations: `values` at `positions`.

    `position` is the activation that was selected; group 0 has the strongest ones. `attribution` (tokens of the
    context,) has the direct feature attribution of each token to the value at `target`; None where the source does not
    read attention heads.
    """

    group: int
    context: int
    position: int
    positions: np.ndarray
    values: np.ndarray
    attribution: np.ndarray | None = None
    target: int = NO_POSITION


@dataclass
class FeatureStatistics:
    """Statistics of one feature. `histogram` and `quantile_shares` are empty if it is never active."""

    index: int
    density: float = 0.0
    active_tokens: int = 0
    max_activation: float = 0.0
    histogram: list[int] = field(default_factory=list)
    quantile_shares: list[float] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def feature_statistics(
    source_id: str, activations: StoredActivations, token_ids: np.ndarray, config: DashboardConfig, max_bytes: int
) -> Iterator[FeatureStatistics]:
    """Compute statistics and examples of every feature, by index, from `token_ids` (N, T) and activations.

    Activations are read for as many features at a time as take `max_bytes`.
    """
    for block in activations.blocks(max_bytes):
        columns = activations.columns(block)
        for index, first, end in zip(block, columns.indptr[:-1], columns.indptr[1:], strict=True):
            tokens, values = columns.indices[first:end], columns.data[first:end]
            if len(values) == 0:
                yield FeatureStatistics(index)
                continue
            selector = _ExampleSelector(tokens, values, token_ids)
            selector.take_top(config.top_examples)
            shares = selector.take_groups(f"{source_id}/{index}", config.quantile_groups, config.examples_per_group)
            yield FeatureStatistics(
                index=index,
                density=len(values) / activations.counted,
                active_tokens=len(values),
                max_activation=float(values.max()),
                histogram=activation_histogram(values, config.histogram_bins).tolist(),
                quantile_shares=shares,
                examples=selector.examples,
            )


class _ExampleSelector:
    """Selects examples of one feature that has `values` (n,) at `tokens` (n,) of the flattened contexts."""

    def __init__(self, tokens: np.ndarray, values: np.ndarray, token_ids: np.ndarray) -> None:
        self.tokens, self.values, self.token_ids = tokens, values, token_ids
        self.examples: list[Example] = []
        self.order = np.lexsort((tokens, -values))

    def take_top(self, count: int) -> None:
        """Add the `count` strongest activations in distinct contexts."""
        for candidate in self._distinct(self.order, count, set()):
            self._add(candidate, TOP_GROUP)

    def take_groups(self, seed: str, groups: int, count: int) -> list[float]:
        """Add `count` random activations of each quantile group; return the share of activations in each group.

        No context is in two groups. An example of the strongest ones is used again only if a group has too few others.
        """
        top_keys = {key for example in self.examples for key in self._keys(example.context, example.position)}
        used_keys: set[int | bytes] = set()
        edges = self.values.max() * np.arange(1, groups) / groups
        group_of = np.searchsorted(edges, self.values, side="left")
        shares = []
        for group in range(groups):
            members = self.order[group_of[self.order] == group].tolist()
            shares.append(len(members) / len(self.values))
            random.Random(f"{seed}/{group}").shuffle(members)
            unused = self._distinct(members, count, used_keys | top_keys)
            used_keys.update(key for candidate in unused for key in self._keys(*self._context_and_position(candidate)))
            repeated = self._distinct(members, count - len(unused), used_keys)
            used_keys.update(
                key for candidate in repeated for key in self._keys(*self._context_and_position(candidate))
            )
            for candidate in unused + repeated:
                self._add(candidate, TOP_GROUP + 1 + group)
        return shares

    def _distinct(self, candidates: Iterable[int], count: int, used_keys: set[int | bytes]) -> list[int]:
        """The first `count` candidates with distinct contexts and snippets that are not in `used_keys`."""
        seen = set(used_keys)
        chosen: list[int] = []
        for candidate in candidates:
            if len(chosen) == count:
                break
            keys = self._keys(*self._context_and_position(candidate))
            if seen.isdisjoint(keys):
                seen.update(keys)
                chosen.append(candidate)
        return chosen

    def _context_and_position(self, candidate: int) -> tuple[int, int]:
        context, position = divmod(int(self.tokens[candidate]), self.token_ids.shape[1])
        return context, position

    def _keys(self, context: int, position: int) -> tuple[int, bytes]:
        """Keys of an example: its context, and the tokens around its position. Distinct examples share no key."""
        row = self.token_ids[context]
        return context, row[max(0, position - SNIPPET_BEFORE) : position + SNIPPET_AFTER + 1].tobytes()

    def _add(self, candidate: int, group: int) -> None:
        context, position = self._context_and_position(candidate)
        start = context * self.token_ids.shape[1]
        first, end = np.searchsorted(self.tokens, [start, start + self.token_ids.shape[1]])
        self.examples.append(Example(group, context, position, self.tokens[first:end] - start, self.values[first:end]))
