"""Which features a text activates: over all sources of a set, or token by token in one source."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memicos_inference_client.models import FeatureActivation, TopFeature

from memicos_webapp import recipes
from memicos_webapp.activation_search import repository
from memicos_webapp.activation_search.repository import FeatureKey
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import MOST_ATTEMPTS, get_source, listed, replaced, unknown_model, unknown_source
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.features import repository as features
from memicos_webapp.features.rows import ContextRow, FeatureCard
from memicos_webapp.inference.service import Inference
from memicos_webapp.recipes import Recipe


@dataclass(frozen=True)
class Query:
    """What to search in: sources of one set. `density` is the largest share of tokens a feature may fire on;
    None keeps every feature."""

    sources: list[SourceInfo]
    sort_indexes: list[int]
    ignore_bos: bool
    density: float | None
    limit: int

    @property
    def model(self) -> str:
        return self.sources[0].model_id

    @property
    def names(self) -> list[str]:
        return [source.name for source in self.sources]


@dataclass(frozen=True)
class Hit:
    """A feature that the text activates; `card` is None where no such feature was imported."""

    source: str
    index: int
    values: list[float]
    max_value: float
    max_value_index: int
    sum_values: float | None
    card: FeatureCard | None


@dataclass(frozen=True)
class Found:
    """`ignored` are positions that no source of the search was trained on; `recipes` have a source's name each.

    `sources` are those searched, with the loads that `hits` are of; `contexts` those of the hits' examples, by corpus
    id and number.
    """

    sources: list[SourceInfo]
    contexts: dict[int, dict[int, ContextRow]]
    tokens: list[str]
    hits: list[Hit]
    ignored: frozenset[int]
    recipes: dict[str, Recipe]


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
            sets = [one.name for one in await catalog.sets(session, viewer, model_id=model)]
            if not sets:
                raise await unknown_model(session, viewer, model)
            raise NotFound(f"{model} has no source set {set_name!r}; it has {listed(sets)}.")
    known = [source.name for source in sources]
    strangers = [name for name in names if name not in known]
    if strangers:
        raise BadInput(f"{listed(strangers)}: no source of the set {set_name!r} of {model}; it has {listed(known)}.")
    return [source for source in sources if not names or source.name in names]


EXAMPLES = 1
"""Strongest examples of a feature that results show."""


def _same_loads(before: Sequence[SourceInfo], after: Sequence[SourceInfo]) -> bool:
    return {one.load_id for one in before} == {one.load_id for one in after}


async def search(database: Database, viewer: Viewer, inference: Inference, query: Query, text: str) -> Found:
    """The features of `query.sources` that `text` activates most, strongest first; on `query.sort_indexes` where
    they are given.

    Dense features are left out before the limit applies: inference is asked for more until `query.limit` others are
    found, or no active ones are left.

    No connection is held while inference runs. Where an import replaced a load meanwhile, the search starts again.

    Raises:
        BadInput: a position to rank by does not count.
        Unavailable: loads were replaced in every attempt.
    """
    for _ in range(MOST_ATTEMPTS):
        attempt = await _search(database, viewer, inference, query, text)
        if isinstance(attempt, Found):
            return attempt
        query = replace(query, sources=attempt)
    raise replaced(query.names)


async def _search(
    database: Database, viewer: Viewer, inference: Inference, query: Query, text: str
) -> Found | list[SourceInfo]:
    """What `search` returns, or the sources with their new loads where one was replaced meanwhile."""
    dense: set[FeatureKey] = set()
    if query.density is not None:
        async with database.snapshot() as session:
            dense = await repository.dense_features(session, query.sources, query.density)
    ask, most = query.limit, query.limit + len(dense)
    while True:
        answer = await inference.all(
            query.model, query.sources[0].set_name, query.names, text, query.sort_indexes, query.ignore_bos, ask
        )
        active = [item for item in answer.activations if (_sum(item) if query.sort_indexes else item.max_value) > 0]
        kept = [item for item in active if (item.source, item.index) not in dense]
        if len(kept) >= query.limit or len(active) < ask or ask >= most:
            break
        ask = min(2 * ask, most)
    kept = kept[: query.limit]
    ignored = [set(one.ignored_positions) for one in answer.sources]
    left_out = frozenset(set.intersection(*ignored) if ignored else ())
    barred = sorted(left_out.intersection(query.sort_indexes)) if query.ignore_bos else []
    if barred:
        raise BadInput(
            f"sortIndexes: position {listed([str(i) for i in barred])} does not count, no source was trained on such. "
            "Leave it out, or set ignoreBos to false."
        )
    async with database.snapshot() as session:
        sources = await catalog.refreshed(session, viewer, query.sources)
        if not sources:
            raise await unknown_source(session, viewer, query.model, query.names[0])
        if not _same_loads(query.sources, sources):
            return sources
        by_name = {source.name: source for source in sources}
        cards = await features.cards(session, [(by_name[item.source], item.index) for item in kept], EXAMPLES)
        contexts = await features.contexts_of(session, cards.values())
    hits = [
        Hit(
            source=item.source,
            index=item.index,
            values=item.values,
            max_value=item.max_value,
            max_value_index=item.max_value_index,
            sum_values=_sum(item) if query.sort_indexes else None,
            card=cards.get((by_name[item.source].source_id, item.index)),
        )
        for item in kept
    ]
    by_source = {one.source: recipes.of_answer(one.recipe) for one in answer.sources}
    shown = [hit for hit in hits if hit.card or query.density is None]
    return Found(sources, contexts, answer.tokens, shown, left_out, by_source)


def _sum(item: FeatureActivation) -> float:
    """The sum at the positions that inference was asked to rank by."""
    return item.sum_values if isinstance(item.sum_values, float | int) else 0.0


@dataclass(frozen=True)
class TokenFeature:
    index: int
    value: float
    card: FeatureCard | None


@dataclass(frozen=True)
class TokenRow:
    """A position of the prompt; `ignored`: the source was not trained on such, values there mean nothing."""

    position: int
    token: str
    special: bool
    ignored: bool
    features: list[TokenFeature]


@dataclass(frozen=True)
class ByToken:
    """One row a position of the prompt. `source` and `contexts` as in `Found`."""

    source: SourceInfo
    contexts: dict[int, dict[int, ContextRow]]
    rows: list[TokenRow]
    recipe: Recipe


async def by_token(
    database: Database,
    viewer: Viewer,
    inference: Inference,
    source: SourceInfo,
    text: str,
    limit: int,
    ignore_bos: bool,
    density: float | None,
) -> ByToken:
    """The `limit` strongest features of one source at each position of `text`, dense ones left out before the limit.

    With `ignore_bos` ignored positions have no features. Where an import replaced the load meanwhile, it starts again.

    Raises:
        Unavailable: the load was replaced in every attempt.
    """
    for _ in range(MOST_ATTEMPTS):
        attempt = await _by_token(database, viewer, inference, source, text, limit, ignore_bos, density)
        if isinstance(attempt, ByToken):
            return attempt
        source = attempt
    raise replaced([source.name])


async def _by_token(
    database: Database,
    viewer: Viewer,
    inference: Inference,
    source: SourceInfo,
    text: str,
    limit: int,
    ignore_bos: bool,
    density: float | None,
) -> ByToken | SourceInfo:
    """What `by_token` returns, or the source with its new load where that was replaced meanwhile."""
    dense: set[FeatureKey] = set()
    if density is not None:
        async with database.snapshot() as session:
            dense = await repository.dense_features(session, [source], density)
    special: set[int] = set()
    ask, most = limit, min(limit + len(dense), source.d_sae)
    while True:
        answer = await inference.topk_by_token(source.model_id, source.name, text, ask, ignore_bos)
        kept: dict[int, list[TopFeature]] = {}
        full = True
        for result in answer.results:
            active = [one for one in result.top_features if one.activation_value > 0]
            others = [one for one in active if (source.name, one.feature_index) not in dense]
            # where both are false, others may fire that were not asked for
            full &= len(others) >= limit or len(active) < ask
            kept[result.token_position] = others[:limit]
            special |= {result.token_position} if result.is_special else set()
        if full or ask >= most:
            break
        ask = min(2 * ask, most)
    async with database.snapshot() as session:
        current = await catalog.refreshed(session, viewer, [source])
        if not current:
            raise await unknown_source(session, viewer, source.model_id, source.name)
        if not _same_loads([source], current):
            return current[0]
        indices = sorted({one.feature_index for top in kept.values() for one in top})
        cards = await features.cards(session, [(source, index) for index in indices], EXAMPLES)
        contexts = await features.contexts_of(session, cards.values())

    def features_at(position: int) -> list[TokenFeature]:
        named = [
            TokenFeature(one.feature_index, one.activation_value, cards.get((source.source_id, one.feature_index)))
            for one in kept.get(position, [])
        ]
        return [one for one in named if one.card or density is None]

    rows = [
        TokenRow(position, token, position in special, position in answer.ignored_positions, features_at(position))
        for position, token in enumerate(answer.tokens)
    ]
    return ByToken(source, contexts, rows, recipes.of_answer(answer.recipe))


async def source_of(database: Database, viewer: Viewer, model: str, name: str) -> SourceInfo:
    async with database.snapshot() as session:
        return await get_source(session, viewer, model, name)
