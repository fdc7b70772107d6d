"""Writes statistics, logit effects, neighbours and texts to the Parquet files of a dataset."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from memicos_dataset import manifest as m
from memicos_dataset import schema
from memicos_dataset.write import CONTEXTS_PER_FILE, FEATURES_PER_FILE, ROW_GROUP_ROWS, write_batches, write_table

from memicos_pipeline.corpus.contexts import PADDING, Contexts
from memicos_pipeline.dashboards.feature_statistics import FeatureStatistics
from memicos_pipeline.dashboards.logit_effects import LogitEffects


def rounded(values: np.ndarray) -> list[float]:
    """Round float32 values to 15 mantissa bits (error below 0.002%), which compress to two thirds of the bytes."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x80) & np.uint32(0xFFFFFF00)).view(np.float32).tolist()


def corpus_files(
    folder: Path, contexts: Contexts, strings: Sequence[str], used_ids: set[int]
) -> tuple[m.FileEntry, m.FileEntry, list[m.FileEntry]]:
    """Write documents, vocabulary (only `used_ids`) and contexts; return their manifest entries."""
    document_table = pa.Table.from_pylist(
        [
            {"document": number, "title": name.title, "collection": name.collection}
            for number, name in sorted(contexts.names.items())
        ],
        schema=schema.DOCUMENTS,
    )
    ids = sorted(used_ids)
    vocabulary_table = pa.Table.from_pydict(
        {"token_id": ids, "token": [strings[i] for i in ids]}, schema=schema.VOCABULARY
    )
    return (
        write_table(folder, "corpus/documents.parquet", document_table),
        write_table(folder, "corpus/vocabulary.parquet", vocabulary_table),
        [
            write_batches(
                folder,
                f"corpus/contexts-{first // CONTEXTS_PER_FILE:05d}.parquet",
                schema.CONTEXTS,
                _context_tables(contexts, first, min(first + CONTEXTS_PER_FILE, len(contexts.token_ids))),
            )
            for first in range(0, len(contexts.token_ids), CONTEXTS_PER_FILE)
        ],
    )


def _context_tables(contexts: Contexts, first: int, end: int) -> Iterator[pa.Table]:
    """The contexts from `first` to `end`, a row group at a time."""
    for start in range(first, end, ROW_GROUP_ROWS):
        group = slice(start, min(start + ROW_GROUP_ROWS, end))
        yield pa.Table.from_pydict(
            {
                "context": np.arange(group.start, group.stop),
                "document": contexts.documents[group],
                "token_ids": [row[row != PADDING] for row in contexts.token_ids[group]],
            },
            schema=schema.CONTEXTS,
        )


def feature_files(
    folder: Path,
    source_id: str,
    statistics: Iterable[FeatureStatistics],
    features: int,
    effects: LogitEffects,
    neighbours: tuple[np.ndarray, np.ndarray],
    correlated: tuple[np.ndarray, np.ndarray],
    optional: Sequence[str] = (),
    shard: int = FEATURES_PER_FILE,
) -> list[m.FileEntry]:
    """Write the `features` features of one source, `shard` to a file; return the manifest entries.

    The rows of one row group are in memory at a time. `optional` are the names of the optional columns that they have.
    """
    columns = schema.FEATURE_TABLE.with_optional(optional)
    remaining = iter(statistics)

    def tables(count: int) -> Iterator[pa.Table]:
        for first in range(0, count, ROW_GROUP_ROWS):
            group = islice(remaining, min(ROW_GROUP_ROWS, count - first))
            rows = [_row(item, effects, neighbours, correlated) for item in group]
            yield pa.Table.from_pylist(rows, schema=columns)

    return [
        write_batches(
            folder,
            f"{source_id}/features-{first // shard:05d}.parquet",
            columns,
            tables(min(shard, features - first)),
        )
        for first in range(0, features, shard)
    ]


def _row(
    item: FeatureStatistics,
    effects: LogitEffects,
    neighbours: tuple[np.ndarray, np.ndarray],
    correlated: tuple[np.ndarray, np.ndarray],
) -> dict[str, object]:
    i = item.index
    neighbour_indices, neighbour_cosines = _numbers(neighbours, i)
    correlated_indices, correlations = _numbers(correlated, i)
    return {
        "index": i,
        "density": item.density,
        "active_tokens": item.active_tokens,
        "max_activation": item.max_activation,
        "activation_histogram": item.histogram,
        "logit_histogram": effects.histograms[i].tolist(),
        "logit_min": effects.low[i],
        "logit_max": effects.high[i],
        "positive_token_ids": effects.positive_ids[i].tolist(),
        "positive_logits": rounded(effects.positive[i]),
        "negative_token_ids": effects.negative_ids[i].tolist(),
        "negative_logits": rounded(effects.negative[i]),
        "neighbour_indices": neighbour_indices.tolist(),
        "neighbour_cosines": rounded(neighbour_cosines),
        "correlated_indices": correlated_indices.tolist(),
        "correlated_pearson": rounded(correlations),
        "quantile_shares": item.quantile_shares,
        "example_groups": [example.group for example in item.examples],
        "example_contexts": [example.context for example in item.examples],
        "example_positions": [example.position for example in item.examples],
        "value_positions": [example.positions.tolist() for example in item.examples],
        "values": [rounded(example.values) for example in item.examples],
        # the two are columns of sources that read attention heads
        "example_dfa_values": [
            [] if example.attribution is None else rounded(example.attribution) for example in item.examples
        ],
        "example_dfa_positions": [example.target for example in item.examples],
    }


def _numbers(table: tuple[np.ndarray, np.ndarray], row: int) -> tuple[np.ndarray, np.ndarray]:
    """A row of indices and values, without the entries whose value is NaN."""
    indices, values = table[0][row], table[1][row]
    return indices[~np.isnan(values)], values[~np.isnan(values)]


def explanation_file(folder: Path, source_id: str, descriptions: Sequence[str], method: str) -> m.FileEntry:
    """Write the explanations of one source; a feature with an empty description gets none."""
    rows = [
        {"index": index, "description": text, "method": method, "model": None}
        for index, text in enumerate(descriptions)
        if text
    ]
    table = pa.Table.from_pylist(rows, schema=schema.EXPLANATIONS)
    return write_table(folder, f"{source_id}/explanations.parquet", table)
