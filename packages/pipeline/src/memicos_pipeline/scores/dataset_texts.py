"""Texts of a dataset that explanations are scored on."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from memicos_autointerp_core.scorers.interface import NOT_ACTIVE, ScoredText
from memicos_autointerp_core.scorers.sampling import cut_window, distance_of_group
from memicos_dataset import manifest as m
from memicos_dataset import read
from memicos_dataset.folder import Location
from memicos_dataset.token_text import context_strings

from memicos_pipeline.corpus.contexts import PADDING


@dataclass(frozen=True)
class CorpusTexts:
    """Contexts of a corpus: ids (N, T) with PADDING at the end of short ones, and the strings of each token."""

    token_ids: np.ndarray
    strings: list[list[str]]


def read_corpus(folder: Location, manifest: m.Manifest) -> CorpusTexts:
    """All contexts with their texts."""
    vocabulary: dict[int, str] = {}
    for batch in read.vocabulary(folder, manifest):
        vocabulary.update(zip(batch.column("token_id").to_pylist(), batch.column("token").to_pylist(), strict=True))
    ids = np.full((manifest.corpus.contexts, manifest.corpus.context_size), PADDING, np.int32)
    strings: list[list[str]] = [[] for _ in range(manifest.corpus.contexts)]
    for batch in read.contexts(folder, manifest):
        columns = (batch.column(name).to_pylist() for name in ("context", "token_ids"))
        for number, row in zip(*columns, strict=True):
            ids[number, : len(row)] = row
            strings[number] = context_strings([vocabulary[i] for i in row])
    return CorpusTexts(ids, strings)


@dataclass(frozen=True)
class PoolWindow:
    """A text from a random context: its middle, start and end."""

    context: int
    position: int
    start: int
    end: int


def pool_windows(corpus: CorpusTexts, contexts: Sequence[int], around: int, first: int) -> list[PoolWindow]:
    """Disjoint windows of 2 * around + 1 tokens of the contexts, from position `first` on."""
    width = 2 * around + 1
    return [
        PoolWindow(context, start + around, start, start + width)
        for context in contexts
        for start in range(first, len(corpus.strings[context]) - width + 1, width)
    ]


@dataclass(frozen=True)
class FeatureExamples:
    """A feature's examples as texts."""

    index: int
    texts: list[ScoredText]


def feature_examples(
    folder: Location, source: m.Source, corpus: CorpusTexts, around: int, chosen: Collection[int] | None = None
) -> Iterator[FeatureExamples]:
    """The examples of each feature, or of those that are `chosen`, cut to `around` tokens on both sides of their
    position, without a prepended BOS."""
    first = source.recipe.first_token
    names = (
        "index", "quantile_shares", "example_groups", "example_contexts", "example_positions", "value_positions",
        "values",
    )  # fmt: skip
    for batch in read.features(folder, source):
        for index, shares, *examples in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
            if chosen is not None and index not in chosen:
                continue
            texts = []
            for group, context, position, value_positions, values in zip(*examples, strict=True):
                strings = corpus.strings[context]
                start, end = cut_window(strings, position, around, first)
                sparse = dict(zip(value_positions, values, strict=True))
                window = [sparse.get(place, 0.0) for place in range(start, end)]
                texts.append(
                    ScoredText(strings[start:end], window, distance_of_group(group, len(shares)), context, position)
                )
            yield FeatureExamples(index, texts)


def inactive_text(corpus: CorpusTexts, window: PoolWindow) -> ScoredText:
    strings = corpus.strings[window.context][window.start : window.end]
    return ScoredText(strings, [0.0] * len(strings), NOT_ACTIVE, window.context, window.position)
