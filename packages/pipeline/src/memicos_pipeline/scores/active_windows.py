"""Which features are active in which texts, by running the model on them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source

from memicos_pipeline.harvest import ShardActivations, run_shard
from memicos_pipeline.scores.dataset_texts import CorpusTexts, PoolWindow

BATCH_CONTEXTS = 8
SHARD_CONTEXTS = 64
"""Contexts whose activations are in memory at once."""


@dataclass(frozen=True)
class FeatureWindows:
    """Windows, each of one feature. Arrays (N,): `features`, and the tokens `starts` to `ends` of `contexts`."""

    features: np.ndarray
    contexts: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def active_in_windows(
    model: LanguageModel,
    sources: Sequence[Source],
    corpus: CorpusTexts,
    windows: Sequence[PoolWindow],
    report: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Per source id: (windows, features) bool, whether the feature is active on a token of the window."""
    contexts = np.unique([window.context for window in windows])
    width = corpus.token_ids.shape[1]
    # number of the window at each position of each context; -1 outside of all windows
    owner = {context: np.full(width, -1, np.int64) for context in contexts.tolist()}
    for number, window in enumerate(windows):
        owner[window.context][window.start : window.end] = number
    active = {source.id: np.zeros((len(windows), source.d_sae), bool) for source in sources}
    for shard, found in _run(model, sources, corpus, contexts, report):
        owners = np.concatenate([owner[context] for context in shard.tolist()])
        for source_id, activations in found.items():
            numbers = owners[activations.tokens]
            active[source_id][numbers[numbers >= 0], _features(activations)[numbers >= 0]] = True
    return active


def active_in_own_windows(
    model: LanguageModel,
    sources: Sequence[Source],
    corpus: CorpusTexts,
    windows: Mapping[str, FeatureWindows],
    report: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Per source id: (N,) bool, whether the feature of each of the source's windows is active on one of its tokens."""
    contexts = np.unique(np.concatenate([own.contexts for own in windows.values()]))
    width = corpus.token_ids.shape[1]
    active = {source.id: np.zeros(len(windows[source.id].features), bool) for source in sources}
    for shard, found in _run(model, sources, corpus, contexts, report):
        for source_id, activations in found.items():
            own = windows[source_id]
            rows = np.flatnonzero((own.contexts >= shard[0]) & (own.contexts <= shard[-1]))
            # one number for each pair of feature and position, ascending: features are, and positions in each
            keys = _features(activations) * (len(shard) * width) + activations.tokens
            first = own.features[rows] * (len(shard) * width) + np.searchsorted(shard, own.contexts[rows]) * width
            before, after = (np.searchsorted(keys, first + place[rows]) for place in (own.starts, own.ends))
            active[source_id][rows] = after > before
    return active


def _run(
    model: LanguageModel,
    sources: Sequence[Source],
    corpus: CorpusTexts,
    contexts: np.ndarray,
    report: Callable[[str], None],
) -> Iterator[tuple[np.ndarray, dict[str, ShardActivations]]]:
    """Parts of `contexts`, which ascend, with the activations of each source on them."""
    for first in range(0, len(contexts), SHARD_CONTEXTS):
        shard = contexts[first : first + SHARD_CONTEXTS]
        yield shard, run_shard(model, sources, corpus.token_ids[shard], BATCH_CONTEXTS)
        report(f"model on {min(first + SHARD_CONTEXTS, len(contexts))} of {len(contexts)} contexts")


def _features(activations: ShardActivations) -> np.ndarray:
    """The feature of each activation."""
    return np.repeat(np.arange(len(activations.offsets) - 1), np.diff(activations.offsets))
