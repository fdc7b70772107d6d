"""Search by text: the features of all sources of a set that are most active on a text.

Features are ranked by their activation, or by its share of the feature's maximum activation (`share_ranking`). For
the ranking by activation the inference server returns the top features. It does not store maximum activations, so for
the ranking by share it returns every active feature, and the webapp computes the exact ranking.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from memicos_inference_client.models import FeatureActivation

from memicos_webapp import recipes
from memicos_webapp.activation_search import repository
from memicos_webapp.activation_search.share_ranking import (
    FeatureKey,
    RankedFeature,
    SourceActivations,
    rank_by_share,
)
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import MAX_ATTEMPTS, join_names, load_replaced, unknown_model, unknown_source
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.features import repository as features
from memicos_webapp.features.rows import ContextRow, FeatureCard
from memicos_webapp.inference.prompts import Prompt
from memicos_webapp.inference.service import Inference
from memicos_webapp.recipes import Recipe

Rank = Literal["raw", "share"]
EXAMPLES = 1
"""Top examples of a feature that results show."""


@dataclass(frozen=True)
class TextSearchQuery:
    """`sources` are of one set. `positions`: rank by the sum at these positions of the prompt; empty: by the maximum.

    `max_density`: features that fire on a larger share of tokens are left out; None keeps every feature.
    """

    sources: list[SourceInfo]
    positions: list[int]
    ignore_bos: bool
    max_density: float | None
    limit: int
    rank: Rank = "raw"

    @property
    def model(self) -> str:
        return self.sources[0].model_id

    @property
    def names(self) -> list[str]:
        return [source.name for source in self.sources]


@dataclass(frozen=True)
class FeatureResult:
    """A feature that is active on the text; `card` is None where the feature was not imported."""

    activation: RankedFeature
    card: FeatureCard | None


@dataclass(frozen=True)
class Ranking:
    """Features on a text, best first, as inference's responses give them.

    `ignored`: positions that every source of the search ignores. `recipes`: by name of the source.
    """

    tokens: list[str]
    features: list[RankedFeature]
    ignored: frozenset[int]
    recipes: dict[str, Recipe]
    prepended_bos: bool


@dataclass(frozen=True)
class TextSearchResults:
    """`sources` are those searched, with the loads that `results` belong to.

    `contexts` are those of the results' examples, by corpus id and number; `ignored` and `recipes` as in `Ranking`.
    """

    sources: list[SourceInfo]
    contexts: dict[int, dict[int, ContextRow]]
    tokens: list[str]
    results: list[FeatureResult]
    ignored: frozenset[int]
    recipes: dict[str, Recipe]
    prepended_bos: bool


async def sources_of(
    database: Database, viewer: Viewer, model: str, set_name: str, names: Sequence[str]
) -> list[SourceInfo]:
    """The sources of a set that `names` chooses, all of them where it is empty.

    Raises:
        NotFound: model or set is unknown.
        BadInput: a name is no source of the set.
    """
    async with database.snapshot() as session:
        sources = await catalog.sources_of_set(session, viewer, model, set_name, names)
        if not sources:
            sets = [source_set.name for source_set in await catalog.sets(session, viewer, model_id=model)]
            if not sets:
                raise await unknown_model(session, viewer, model)
            raise NotFound(f"{model} has no source set {set_name!r}; it has {join_names(sets)}.")
    available = [source.name for source in sources]
    unknown = [name for name in names if name not in available]
    if unknown:
        raise BadInput(
            f"{join_names(unknown)}: no source of the set {set_name!r} of {model}; it has {join_names(available)}."
        )
    return [source for source in sources if not names or source.name in names]


def same_loads(before: Sequence[SourceInfo], after: Sequence[SourceInfo]) -> bool:
    return {source.load_id for source in before} == {source.load_id for source in after}


async def search(
    database: Database, viewer: Viewer, inference: Inference, query: TextSearchQuery, prompt: Prompt
) -> TextSearchResults:
    """The features of `query.sources` that are most active on `prompt`, best first.

    No database connection is held while inference runs. If an import replaces a load in the meantime, the search
    starts again.

    Raises:
        BadInput: every source ignores a position to rank by, or there is no such position.
        Unavailable: loads were replaced during every attempt.
    """
    for _ in range(MAX_ATTEMPTS):
        attempt = await _search(database, viewer, inference, query, prompt)
        if isinstance(attempt, TextSearchResults):
            return attempt
        query = replace(query, sources=attempt)
    raise load_replaced(query.names)


async def _search(
    database: Database, viewer: Viewer, inference: Inference, query: TextSearchQuery, prompt: Prompt
) -> TextSearchResults | list[SourceInfo]:
    """Results, or the sources with their new loads where one was replaced in the meantime."""
    rank = _rank_by_share if query.rank == "share" else _rank_by_activation
    ranking = await rank(database, inference, query, prompt)
    async with database.snapshot() as session:
        sources = await catalog.refreshed(session, viewer, query.sources)
        if not sources:
            raise await unknown_source(session, viewer, query.model, query.names[0])
        if not same_loads(query.sources, sources):
            return sources
        by_name = {source.name: source for source in sources}
        keys = [(by_name[feature.source], feature.index) for feature in ranking.features]
        cards = await features.cards(session, keys, EXAMPLES)
        contexts = await features.contexts_of(session, cards.values())
    results = [
        _result(feature, cards.get((by_name[feature.source].source_id, feature.index))) for feature in ranking.features
    ]
    return TextSearchResults(
        sources=sources,
        contexts=contexts,
        tokens=ranking.tokens,
        results=[result for result in results if result.card or query.max_density is None],
        ignored=ranking.ignored,
        recipes=ranking.recipes,
        prepended_bos=ranking.prepended_bos,
    )


def _result(feature: RankedFeature, card: FeatureCard | None) -> FeatureResult:
    if card and card.max_activation > 0 and feature.share is None:
        ranked_by = feature.max_value if feature.sum_values is None else feature.sum_values
        feature = replace(feature, share=ranked_by / card.max_activation)
    return FeatureResult(feature, card)


async def _rank_by_share(database: Database, inference: Inference, query: TextSearchQuery, prompt: Prompt) -> Ranking:
    responses = await inference.active_features(query.model, query.names, prompt)
    results = [response.results[0] for response in responses]
    tokens = results[0].tokens
    ignored = frozenset[int].intersection(*(frozenset(result.ignored_positions) for result in results))
    _check_positions(query, ignored, len(tokens))
    activations = [
        SourceActivations(
            source.name,
            {
                int(index): [(int(position), value) for position, value in pairs]
                for index, pairs in result.active_features.additional_properties.items()
            },
            frozenset(result.ignored_positions) if query.ignore_bos else frozenset(),
        )
        for source, result in zip(query.sources, results, strict=True)
    ]
    active = [
        (source, source_activations.features)
        for source, source_activations in zip(query.sources, activations, strict=True)
    ]
    async with database.snapshot() as session:
        maxima = await repository.maximum_activations(session, active, query.max_density)
    # in a thread: long texts have hundreds of thousands of activations
    ranked = await asyncio.to_thread(rank_by_share, activations, maxima, len(tokens), query.positions, query.limit)
    by_source = {
        source.name: recipes.inference_recipe(response.recipe)
        for source, response in zip(query.sources, responses, strict=True)
    }
    return Ranking(tokens, ranked, ignored, by_source, results[0].prepended_bos is True)


async def _rank_by_activation(
    database: Database, inference: Inference, query: TextSearchQuery, prompt: Prompt
) -> Ranking:
    """Rank as inference does. Dense features are left out before the limit: the request to inference is repeated with a
    larger limit until the response has `query.limit` other features, or all active ones."""
    dense: set[FeatureKey] = set()
    if query.max_density is not None:
        async with database.snapshot() as session:
            dense = await repository.dense_features(session, query.sources, query.max_density)
    requested, maximum = query.limit, query.limit + len(dense)
    while True:
        response = await inference.all(
            query.model, query.sources[0].set_name, query.names, prompt, query.positions, query.ignore_bos, requested
        )
        ranked = [_ranked(item, query.positions) for item in response.activations]
        active = [item for item in ranked if (item.max_value if item.sum_values is None else item.sum_values) > 0]
        selected = [item for item in active if (item.source, item.index) not in dense]
        if len(selected) >= query.limit or len(active) < requested or requested >= maximum:
            break
        requested = min(2 * requested, maximum)
    ignored = [frozenset(source.ignored_positions) for source in response.sources]
    ignored_by_all = frozenset[int].intersection(*ignored) if ignored else frozenset[int]()
    _check_positions(query, ignored_by_all, len(response.tokens))
    by_source = {source.source: recipes.inference_recipe(source.recipe) for source in response.sources}
    return Ranking(response.tokens, selected[: query.limit], ignored_by_all, by_source, response.prepended_bos is True)


def _ranked(item: FeatureActivation, positions: Sequence[int]) -> RankedFeature:
    total = item.sum_values if isinstance(item.sum_values, float | int) else 0.0
    return RankedFeature(
        source=item.source,
        index=item.index,
        values=item.values,
        max_value=item.max_value,
        max_value_index=item.max_value_index,
        sum_values=total if positions else None,
        share=None,
    )


def _check_positions(query: TextSearchQuery, ignored: Collection[int], tokens: int) -> None:
    """Raises BadInput where the text lacks a position to rank by, or every source ignores it."""
    outside = [str(position) for position in query.positions if position >= tokens]
    if outside:
        raise BadInput(f"sortIndexes: {join_names(outside)} is not among the positions of {tokens} tokens.")
    uncounted = [str(position) for position in sorted(set(query.positions).intersection(ignored))]
    if query.ignore_bos and uncounted:
        raise BadInput(
            f"sortIndexes: position {join_names(uncounted)} does not count: the sources ignore it. Leave it out, or "
            "set ignoreBos to false."
        )
