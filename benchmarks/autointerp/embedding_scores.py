"""Distribution of the demo's scores by eleuther_embedding, beside that of shuffled labels.

Each label is also scored on the texts of another feature of its source (a cyclic shift of a random order, seed 0), with
the same texts of both classes: that is what a label which says nothing about its feature scores.

Run: .venv/bin/python benchmarks/autointerp/embedding_scores.py
It reads demo/dataset, and embeds the texts again where .data/generate has no vectors of them.
"""

import asyncio
from pathlib import Path

import numpy as np
from memicos_autointerp_core.scorers.eleuther_embedding import DECIMALS
from memicos_autointerp_core.scorers.statistics import auc
from memicos_autointerp_core.scorers.vector_cache import VectorCache
from memicos_dataset import read
from memicos_embeddings.minilm import MiniLmEmbedder
from memicos_pipeline.scores.dataset_texts import read_corpus

DATASET = Path("demo/dataset")
VECTORS = Path(".data/generate/vectors-minilm.sqlite")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SEED = 0


def _line(name: str, scores: list[float]) -> str:
    values = np.array(scores)
    quantiles = "  ".join(f"{value:.2f}" for value in np.quantile(values, QUANTILES))
    return f"{name:24} {len(values):6} {values.mean():6.3f}  {quantiles}  {(values > 0.7).mean():7.1%}"


async def main() -> None:
    manifest = read.read_manifest(DATASET)
    corpus = read_corpus(DATASET, manifest)
    VECTORS.parent.mkdir(parents=True, exist_ok=True)
    cache = VectorCache(VECTORS, MiniLmEmbedder(2).embed)
    first = 1 if manifest.source_set.sources[0].recipe.prepend_bos else 0
    print(f"{'':24} {'number':>6} {'mean':>6}  " + "  ".join(f"{q:4.0%}" for q in QUANTILES) + "   above 0.7")
    for source in manifest.source_set.sources:
        labels = [
            text for batch in read.explanations(DATASET, source) for text in batch.column("description").to_pylist()
        ]
        rows = [row for batch in read.score_batches(DATASET, source) for row in batch.rows.to_pylist()]
        scored = [row for row in rows if row["score"] is not None]
        order = np.random.default_rng([SEED]).permutation(len(scored))
        other = {int(a): int(b) for a, b in zip(order, np.roll(order, 1), strict=True)}
        label_vectors = await cache.embed([labels[row["explanation"]] for row in scored])
        shuffled = []
        for number, row in enumerate(scored):
            texts = []
            for context, position in zip(row["text_contexts"], row["text_positions"], strict=True):
                strings = corpus.strings[context]
                texts.append("".join(strings[max(first, position - row["around"]) : position + row["around"] + 1]))
            similarities = np.round((await cache.embed(texts)) @ label_vectors[other[number]], DECIMALS)
            active = np.array(row["text_distances"]) > 0
            shuffled.append(auc(similarities[active].tolist(), similarities[~active].tolist()))
        print(_line(f"{source.id}", [row["score"] for row in scored]))
        print(_line(f"{source.id}, shuffled", shuffled))
        print(f"{source.id}: {len(rows) - len(scored)} of {len(rows)} explanations have a reason in place of a score")
    cache.close()


if __name__ == "__main__":
    asyncio.run(main())
