"""Which features a text activates: over all sources of a set, or token by token in one source."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from memicos_webapp.catalog.repository import SourceRow
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.inference.service import Inference
from memicos_webapp.settings import Settings
from memicos_webapp.text_search import repository
from memicos_webapp.text_search.repository import FeatureKey, FoundRow


@dataclass(frozen=True)
class Hit:
    """A feature that the text activates; `row` is absent where its source has not been imported."""

    source: str
    index: int
    values: list[float]
    max_value: float
    max_value_index: int
    sum_values: float | None
    row: FoundRow | None


@dataclass(frozen=True)
class Found:
    tokens: list[str]
    hits: list[Hit]


@dataclass(frozen=True)
class Query:
    """What to search: `sources` are ids of one set; `density_threshold` <= 0 keeps every feature."""

    model: str
    source_set: str
    sources: list[str]
    sort_indexes: list[int]
    ignore_bos: bool
    density_threshold: float
    limit: int


async def search(database: Database, inference: Inference, query: Query, text: str) -> Found:
    """The features of all `query.sources` that `text` activates most, strongest first.

    Dense features are left out before the limit applies: inference is asked for more until `query.limit` others are
    found or there are no more active ones.
    """
    async with database.snapshot() as session:
        dense = (
            await repository.dense_features(session, query.model, query.sources, query.density_threshold)
            if query.density_threshold > 0
            else set[FeatureKey]()
        )
    ask, most = query.limit, query.limit + len(dense)
    while True:
        answer = await inference.all(
            model=query.model,
            source_set=query.source_set,
            sources=query.sources,
            text=text,
            sort_indexes=query.sort_indexes,
            ignore_bos=query.ignore_bos,
            limit=ask,
        )
        active = [item for item in answer.activations if item.max_value > 0]
        kept = [item for item in active if (item.source, item.index) not in dense][: query.limit]
        if len(kept) == query.limit or len(active) < ask or ask >= most:
            break
        ask = min(2 * ask, most)
    async with database.snapshot() as session:
        rows = await repository.features(session, query.model, [(item.source, item.index) for item in kept])
    hits = [
        Hit(
            item.source,
            item.index,
            item.values,
            item.max_value,
            item.max_value_index,
            item.sum_values if query.sort_indexes else None,
            rows.get((item.source, item.index)),
        )
        for item in kept
    ]
    if query.density_threshold > 0:
        hits = [hit for hit in hits if hit.row is not None]
    return Found(answer.tokens, hits)
