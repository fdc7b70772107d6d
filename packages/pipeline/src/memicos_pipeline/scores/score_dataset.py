"""`memicos score`: score the explanations of a dataset without a language model, and store the scores in it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from memicos_autointerp_core.scorers import eleuther_embedding
from memicos_autointerp_core.scorers.interface import Score, ScoredText
from memicos_autointerp_core.scorers.sampling import draw_active, draw_inactive
from memicos_autointerp_core.scorers.vector_cache import VectorCache
from memicos_dataset import manifest as m
from memicos_dataset import read, schema
from memicos_dataset.replace_folder import finish_interrupted
from memicos_embeddings.minilm import MiniLmEmbedder

from memicos_pipeline.config import ConfigError, GenerateConfig
from memicos_pipeline.dataset_lock import lock_dataset
from memicos_pipeline.preparation import load_language_model, select_and_load
from memicos_pipeline.replace_tables import SCORES, replace_tables
from memicos_pipeline.scores.active_windows import active_in_windows
from memicos_pipeline.scores.dataset_texts import (
    CorpusTexts,
    PoolWindow,
    feature_examples,
    inactive_text,
    pool_windows,
    read_corpus,
)
from memicos_pipeline.scores.protocol import ScoreProtocol

ReportLine = Callable[[str], None]
REPORT_FEATURES = 512
"""Features between two lines of progress."""


async def score_dataset(config: GenerateConfig, protocol: ScoreProtocol, threads: int, report: ReportLine) -> None:
    """Give every explanation of the dataset `config.out` a score by `eleuther_embedding`.

    Vectors of texts are kept in `config.work`, so that a run that was killed embeds no text twice. `config.out` is
    replaced when all scores are there.

    Raises:
        ConfigError: the sources of the dataset are not those of `config`.
        DatasetError, EmbedderError, OSError: the dataset cannot be read, a text not be embedded, the model not loaded.
    """
    with lock_dataset(config.out):
        finish_interrupted(config.out)
        manifest = read.read_manifest(config.out)
        corpus = read_corpus(config.out, manifest)
        windows, active = inactive_pool(config, manifest, corpus, protocol, report)
        embedder = MiniLmEmbedder(threads)
        config.work.mkdir(parents=True, exist_ok=True)
        cache = VectorCache(config.work / f"vectors-{embedder.key}.sqlite", embedder.embed)
        try:
            tables = {
                source.id: await _score_source(
                    config.out, source, corpus, windows, active[source.id], protocol, cache, embedder.title, report
                )
                for source in manifest.source_set.sources
            }
        finally:
            cache.close()
        replace_tables(config.out, manifest, SCORES, tables)


def inactive_pool(
    config: GenerateConfig, manifest: m.Manifest, corpus: CorpusTexts, protocol: ScoreProtocol, report: ReportLine
) -> tuple[list[PoolWindow], dict[str, np.ndarray]]:
    """Windows of random contexts and, per source, (windows, features) bool: whether the feature is active there.

    Raises:
        ConfigError: the dataset has a source that `config` does not name.
    """
    model = load_language_model(config)
    sources = [selected.source for selected in select_and_load(config, model)]
    ids = {source.id for source in manifest.source_set.sources}
    if lacking := sorted(ids - {source.id for source in sources}):
        raise ConfigError(f"{config.out} has the sources {', '.join(lacking)}, which the configuration does not name")
    generator = np.random.default_rng([protocol.seed])
    count = min(protocol.pool_contexts, manifest.corpus.contexts)
    contexts = sorted(generator.choice(manifest.corpus.contexts, count, replace=False).tolist())
    first = 1 if manifest.source_set.sources[0].recipe.prepend_bos else 0
    windows = pool_windows(corpus, contexts, protocol.around, first)
    used = [source for source in sources if source.id in ids]
    return windows, active_in_windows(model, used, corpus, windows, report)


async def _score_source(
    folder: Path,
    source: m.Source,
    corpus: CorpusTexts,
    windows: list[PoolWindow],
    active: np.ndarray,
    protocol: ScoreProtocol,
    cache: VectorCache,
    embedder: str,
    report: ReportLine,
) -> pa.Table:
    explanations = _explanations(folder, source)
    pool = [inactive_text(corpus, window) for window in windows]
    rows, texts_embedded = [], 0
    pending: list[tuple[int, str, list[ScoredText]]] = []
    for example in feature_examples(folder, source, corpus, protocol.around):
        generator = np.random.default_rng([protocol.seed, source.layer, example.index])
        texts = draw_active(example.texts, protocol.active, generator)
        candidates = (pool[number] for number in np.flatnonzero(~active[:, example.index]).tolist())
        texts += draw_inactive(candidates, protocol.inactive, generator)
        pending += [(row, description, texts) for row, description in explanations.get(example.index, [])]
        if len(pending) >= REPORT_FEATURES:
            rows += await _score_rows(pending, protocol, cache, embedder)
            texts_embedded += len(pending)
            pending = []
            report(f"{source.id}: {texts_embedded} explanations scored")
    rows += await _score_rows(pending, protocol, cache, embedder)
    report(f"{source.id}: {len(rows)} explanations scored")
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["explanation"]), schema=schema.SCORES)


def _explanations(folder: Path, source: m.Source) -> dict[int, list[tuple[int, str]]]:
    """Per feature: number of the row and text of its explanations."""
    found: dict[int, list[tuple[int, str]]] = {}
    number = 0
    for batch in read.explanations(folder, source):
        for index, text in zip(batch.column("index").to_pylist(), batch.column("description").to_pylist(), strict=True):
            found.setdefault(index, []).append((number, text))
            number += 1
    return found


async def _score_rows(
    pending: list[tuple[int, str, list[ScoredText]]], protocol: ScoreProtocol, cache: VectorCache, embedder: str
) -> list[dict[str, object]]:
    # all texts of many features in one go: batches of equal length, whichever feature they belong to
    await cache.fill([text for _, description, texts in pending for text in (description, *(t.text for t in texts))])
    rows = []
    for number, description, texts in pending:
        score = await eleuther_embedding.score(description, texts, cache.embed, embedder, protocol.seed)
        rows.append(score_row(number, score, protocol))
    return rows


def score_row(explanation: int, score: Score, protocol: ScoreProtocol) -> dict[str, object]:
    """The row of a score in a dataset; `explanation`: number of the row of the explanation."""
    estimate = score.estimate
    return {
        "explanation": explanation,
        "method": score.method,
        "model": score.model,
        "score": estimate.value if estimate else None,
        "score_low": estimate.low if estimate else None,
        "score_high": estimate.high if estimate else None,
        "reason": score.reason,
        "seed": score.seed,
        "around": protocol.around,
        "text_contexts": [row.text.context for row in score.breakdown],
        "text_positions": [row.text.position for row in score.breakdown],
        "text_distances": [row.text.distance for row in score.breakdown],
        "text_answers": [row.probability for row in score.breakdown],
    }
