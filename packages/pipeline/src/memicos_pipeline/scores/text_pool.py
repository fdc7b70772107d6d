"""The texts that the explanations of a dataset are scored on. The same dataset and protocol give the same texts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from memicos_autointerp_core.scorers.interface import NEAR_MISS, ScoredText
from memicos_autointerp_core.scorers.sampling import (
    NEIGHBOURS,
    NeighbourExamples,
    Place,
    cut_window,
    draw_active,
    draw_others,
    first_inactive,
    near_miss_count,
    near_miss_places,
)
from memicos_dataset import manifest as m
from memicos_dataset import read

from memicos_pipeline.config import ConfigError, GenerateConfig
from memicos_pipeline.preparation import load_language_model, select_and_load
from memicos_pipeline.scores.active_windows import FeatureWindows, active_in_own_windows, active_in_windows
from memicos_pipeline.scores.dataset_texts import CorpusTexts, PoolWindow, inactive_text, pool_windows
from memicos_pipeline.scores.protocol import ScoreProtocol

NEAR = 1
"""Last number of the seed of a feature's near misses; not 0, with which numpy draws the numbers of its other texts."""
COLUMNS = (
    "index", "neighbour_indices", "quantile_shares", "example_groups", "example_contexts", "example_positions",
)  # fmt: skip


@dataclass(frozen=True)
class TextPool:
    """What the texts of features are drawn from.

    Attributes:
        windows: texts of random contexts.
        active: per source (windows, features) bool, whether the feature is active on the window.
        near: per source and feature, the examples of similar features on which it is not active, best first.
    """

    corpus: CorpusTexts
    windows: list[PoolWindow]
    active: dict[str, np.ndarray]
    near: dict[str, dict[int, list[Place]]]

    def draw(
        self, protocol: ScoreProtocol, source: m.Source, index: int, examples: Sequence[ScoredText]
    ) -> list[ScoredText]:
        """The texts of a feature: of its `examples`, near misses, and of random contexts."""
        generator = np.random.default_rng([protocol.seed, source.layer, index])
        drawn = draw_active(examples, protocol.active, generator)
        places = self.near.get(source.id, {}).get(index, [])
        candidates = (_near_miss(self.corpus, source, place, protocol.around) for place in places)
        near = first_inactive(candidates, near_miss_count(protocol.inactive))
        inactive = np.flatnonzero(~self.active[source.id][:, index]).tolist()
        others = (inactive_text(self.corpus, self.windows[number]) for number in inactive)
        return [*drawn, *near, *draw_others(others, near, protocol.inactive, generator)]


def read_pool(
    config: GenerateConfig,
    manifest: m.Manifest,
    corpus: CorpusTexts,
    protocol: ScoreProtocol,
    report: Callable[[str], None],
    chosen: Mapping[str, Collection[int]] | None = None,
) -> TextPool:
    """Runs the model on random contexts, and where the protocol asks for near misses on the examples of similar
    features.

    Args:
        chosen: features by source that near misses are wanted for; None: all.

    Raises:
        ConfigError: the dataset has a source that `config` does not name.
        DatasetError, OSError: the dataset cannot be read, or the model not be loaded.
    """
    model = load_language_model(config)
    sources = [selected.source for selected in select_and_load(config, model)]
    ids = {source.id for source in manifest.source_set.sources}
    if lacking := sorted(ids - {source.id for source in sources}):
        raise ConfigError(f"{config.out} has the sources {', '.join(lacking)}, which the configuration does not name")
    used = [source for source in sources if source.id in ids]
    generator = np.random.default_rng([protocol.seed])
    count = min(protocol.pool_contexts, manifest.corpus.contexts)
    contexts = sorted(generator.choice(manifest.corpus.contexts, count, replace=False).tolist())
    windows = pool_windows(corpus, contexts, protocol.around, manifest.source_set.sources[0].recipe.first_token)
    active = active_in_windows(model, used, corpus, windows, report)
    near: dict[str, dict[int, list[Place]]] = {}
    if protocol.near_misses:
        places = {
            source.id: _near_places(config.out, source, protocol, None if chosen is None else chosen.get(source.id, ()))
            for source in manifest.source_set.sources
        }
        near_windows = {
            source.id: _windows(corpus, source, places[source.id], protocol.around)
            for source in manifest.source_set.sources
        }
        active_near = active_in_own_windows(model, used, corpus, near_windows, report)
        near = {source_id: _inactive_places(places[source_id], active_near[source_id]) for source_id in places}
    return TextPool(corpus, windows, active, near)


def _near_places(
    folder: Path, source: m.Source, protocol: ScoreProtocol, chosen: Collection[int] | None
) -> dict[int, list[Place]]:
    """Places to check for the near misses of each feature, best first (`near_miss_places`)."""
    rows = pa.Table.from_batches(read.feature_columns(folder, source, COLUMNS, 4096))
    numbers = {index: number for number, index in enumerate(rows.column("index").to_pylist())}
    wanted = near_miss_count(protocol.inactive)
    places: dict[int, list[Place]] = {}
    for index, number in numbers.items():
        if chosen is not None and index not in chosen:
            continue
        nearest = rows.column("neighbour_indices")[number].as_py()[:NEIGHBOURS]
        neighbours = [_examples(rows, numbers[neighbour]) for neighbour in nearest if neighbour in numbers]
        own = set(rows.column("example_contexts")[number].as_py())
        generator = np.random.default_rng([protocol.seed, source.layer, index, NEAR])
        places[index] = near_miss_places(neighbours, own, wanted, generator)
    return places


def _examples(rows: pa.Table, number: int) -> NeighbourExamples:
    shares, groups, contexts, positions = (rows.column(name)[number].as_py() for name in COLUMNS[2:])
    return NeighbourExamples(len(shares), groups, contexts, positions)


def _windows(
    corpus: CorpusTexts, source: m.Source, places: Mapping[int, Sequence[Place]], around: int
) -> FeatureWindows:
    first = source.recipe.first_token
    rows = [
        (index, place.context, *cut_window(corpus.strings[place.context], place.position, around, first))
        for index, own in places.items()
        for place in own
    ]
    features, contexts, starts, ends = np.array(rows, np.int64).reshape(-1, 4).T
    return FeatureWindows(features, contexts, starts, ends)


def _inactive_places(places: Mapping[int, Sequence[Place]], active: np.ndarray) -> dict[int, list[Place]]:
    """The places of each feature on which it is not active; `active` has the places of all features in their order."""
    on_place = iter(active.tolist())
    return {index: [place for place in own if not next(on_place)] for index, own in places.items()}


def _near_miss(corpus: CorpusTexts, source: m.Source, place: Place, around: int) -> ScoredText:
    strings = corpus.strings[place.context]
    start, end = cut_window(strings, place.position, around, source.recipe.first_token)
    return ScoredText(strings[start:end], [0.0] * (end - start), NEAR_MISS, place.context, place.position)
