"""`memicos score`: score the explanations of a dataset without a language model, and store the scores in it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from memicos_autointerp_core.scorers import eleuther_embedding
from memicos_autointerp_core.scorers.interface import ScoredText
from memicos_autointerp_core.scorers.vector_cache import VectorCache
from memicos_dataset import manifest as m
from memicos_dataset import read
from memicos_dataset.replace_folder import finish_interrupted
from memicos_dataset.wording import quantity
from memicos_embeddings.minilm import MiniLmEmbedder

from memicos_pipeline.bulk.replace_tables import SCORES, replace_tables
from memicos_pipeline.config import GenerateConfig
from memicos_pipeline.dataset_lock import lock_dataset
from memicos_pipeline.scores.dataset_texts import feature_examples, read_corpus
from memicos_pipeline.scores.protocol import ScoreProtocol
from memicos_pipeline.scores.score_rows import score_row, with_scores
from memicos_pipeline.scores.text_pool import TextPool, read_pool

ReportLine = Callable[[str], None]
REPORT_FEATURES = 512
"""Features between two lines of progress."""


async def score_dataset(config: GenerateConfig, protocol: ScoreProtocol, threads: int, report: ReportLine) -> None:
    """Give every explanation of the dataset `config.out` a score by `eleuther_embedding`; those by others stay.

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
        pool = read_pool(config, manifest, corpus, protocol, report)
        embedder = MiniLmEmbedder(threads)
        config.work.mkdir(parents=True, exist_ok=True)
        cache = VectorCache(config.work / f"vectors-{embedder.key}.sqlite", embedder.embed)
        try:
            tables = {
                source.id: await _score_source(config.out, source, pool, protocol, cache, embedder.title, report)
                for source in manifest.source_set.sources
            }
        finally:
            cache.close()
        replace_tables(config.out, manifest, SCORES, tables)


async def _score_source(
    folder: Path,
    source: m.Source,
    pool: TextPool,
    protocol: ScoreProtocol,
    cache: VectorCache,
    embedder: str,
    report: ReportLine,
) -> pa.Table:
    explanations = _explanations(folder, source)
    rows, texts_embedded = [], 0
    pending: list[tuple[int, str, list[ScoredText]]] = []
    for example in feature_examples(folder, source, pool.corpus, protocol.around):
        texts = pool.draw(protocol, source, example.index, example.texts)
        pending += [(row, description, texts) for row, description in explanations.get(example.index, [])]
        if len(pending) >= REPORT_FEATURES:
            rows += await _score_rows(pending, protocol, cache, embedder)
            texts_embedded += len(pending)
            pending = []
            report(f"{source.id}: {quantity(texts_embedded, 'explanation')} scored")
    rows += await _score_rows(pending, protocol, cache, embedder)
    report(f"{source.id}: {quantity(len(rows), 'explanation')} scored")
    return with_scores(folder, source, rows)


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
