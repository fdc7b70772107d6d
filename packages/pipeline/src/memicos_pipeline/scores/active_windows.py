"""Which features are active in which texts of the pool, by running the model on them."""

from collections.abc import Callable, Sequence

import numpy as np
from memicos_engine.model.language_model import LanguageModel
from memicos_engine.sources.source import Source

from memicos_pipeline.harvest import run_shard
from memicos_pipeline.scores.dataset_texts import CorpusTexts, PoolWindow

BATCH_CONTEXTS = 8
SHARD_CONTEXTS = 64
"""Contexts whose activations are in memory at once."""


def active_in_windows(
    model: LanguageModel,
    sources: Sequence[Source],
    corpus: CorpusTexts,
    windows: Sequence[PoolWindow],
    report: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Per source id: (windows, features) bool, whether the feature is active on a token of the window."""
    contexts = sorted({window.context for window in windows})
    width = corpus.token_ids.shape[1]
    # number of the window at each position of each context; -1 outside of all windows
    owner = {context: np.full(width, -1, np.int64) for context in contexts}
    for number, window in enumerate(windows):
        owner[window.context][window.start : window.end] = number
    active = {source.id: np.zeros((len(windows), source.d_sae), bool) for source in sources}
    for first in range(0, len(contexts), SHARD_CONTEXTS):
        shard = contexts[first : first + SHARD_CONTEXTS]
        owners = np.concatenate([owner[context] for context in shard])
        for source_id, activations in run_shard(model, sources, corpus.token_ids[shard], BATCH_CONTEXTS).items():
            features = np.repeat(np.arange(len(activations.offsets) - 1), np.diff(activations.offsets))
            numbers = owners[activations.tokens]
            active[source_id][numbers[numbers >= 0], features[numbers >= 0]] = True
        report(f"model on {min(first + SHARD_CONTEXTS, len(contexts))} of {len(contexts)} contexts")
    return active
