"""Search token by token: the top features of one source at each token of a text."""

from dataclasses import dataclass

from memicos_inference_client.models import TopFeature

from memicos_webapp import recipes
from memicos_webapp.activation_search import repository
from memicos_webapp.activation_search.service import EXAMPLES, same_loads
from memicos_webapp.activation_search.share_ranking import FeatureKey
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import MAX_ATTEMPTS, get_source, load_replaced, unknown_source
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.features import repository as features
from memicos_webapp.features.rows import ContextRow, FeatureCard
from memicos_webapp.inference.prompts import Prompt
from memicos_webapp.inference.service import Inference
from memicos_webapp.recipes import Recipe


@dataclass(frozen=True)
class TokenSearchQuery:
    """`limit`: features at each token. `max_density`: features that fire on a larger share of tokens are left out;
    None keeps every feature. With `ignore_bos` positions that the source ignores have no features."""

    source: SourceInfo
    ignore_bos: bool
    max_density: float | None
    limit: int


@dataclass(frozen=True)
class TokenFeature:
    """A feature at a token; `card` is None where the feature was not imported."""

    index: int
    value: float
    card: FeatureCard | None


@dataclass(frozen=True)
class TokenFeatures:
    """A position of the prompt. `ignored`: the source was not trained on such positions."""

    position: int
    token: str
    special: bool
    ignored: bool
    features: list[TokenFeature]


@dataclass(frozen=True)
class TokenSearchResults:
    """`tokens` has one item per position of the prompt. `source` is the one searched, with the load that cards belong
    to; `contexts` are those of the cards' examples, by corpus id and number."""

    source: SourceInfo
    contexts: dict[int, dict[int, ContextRow]]
    tokens: list[TokenFeatures]
    recipe: Recipe
    prepended_bos: bool


async def source_of(database: Database, viewer: Viewer, model: str, name: str) -> SourceInfo:
    """The source of this name.

    Raises:
        NotFound: model or source is unknown.
    """
    async with database.snapshot() as session:
        return await get_source(session, viewer, model, name)


async def search_by_token(
    database: Database, viewer: Viewer, inference: Inference, query: TokenSearchQuery, prompt: Prompt
) -> TokenSearchResults:
    """The `query.limit` most active features at each position of `prompt`. Dense ones are left out before the limit.

    No database connection is held while inference runs. If an import replaces the load in the meantime, the search
    starts again.

    Raises:
        Unavailable: the load was replaced during every attempt.
    """
    for _ in range(MAX_ATTEMPTS):
        attempt = await _search(database, viewer, inference, query, prompt)
        if isinstance(attempt, TokenSearchResults):
            return attempt
        query = TokenSearchQuery(attempt, query.ignore_bos, query.max_density, query.limit)
    raise load_replaced([query.source.name])


async def _search(
    database: Database, viewer: Viewer, inference: Inference, query: TokenSearchQuery, prompt: Prompt
) -> TokenSearchResults | SourceInfo:
    """Results, or the source with its new load where that was replaced in the meantime."""
    source, limit = query.source, query.limit
    dense: set[FeatureKey] = set()
    if query.max_density is not None:
        async with database.snapshot() as session:
            dense = await repository.dense_features(session, [source], query.max_density)
    special: set[int] = set()
    requested, maximum = limit, min(limit + len(dense), source.d_sae)
    while True:
        response = await inference.topk_by_token(source.model_id, source.name, prompt, requested, query.ignore_bos)
        top: dict[int, list[TopFeature]] = {}
        complete = True
        for result in response.results:
            active = [feature for feature in result.top_features if feature.activation_value > 0]
            selected = [feature for feature in active if (source.name, feature.feature_index) not in dense]
            # otherwise features below the requested number may belong to the results
            complete &= len(selected) >= limit or len(active) < requested
            top[result.token_position] = selected[:limit]
            special |= {result.token_position} if result.is_special else set()
        if complete or requested >= maximum:
            break
        requested = min(2 * requested, maximum)
    async with database.snapshot() as session:
        current = await catalog.refreshed(session, viewer, [source])
        if not current:
            raise await unknown_source(session, viewer, source.model_id, source.name)
        if not same_loads([source], current):
            return current[0]
        indices = sorted({feature.feature_index for token_features in top.values() for feature in token_features})
        cards = await features.cards(session, [(source, index) for index in indices], EXAMPLES)
        contexts = await features.contexts_of(session, cards.values())

    def features_at(position: int) -> list[TokenFeature]:
        token_features = [
            TokenFeature(item.feature_index, item.activation_value, cards.get((source.source_id, item.feature_index)))
            for item in top.get(position, [])
        ]
        return [feature for feature in token_features if feature.card or query.max_density is None]

    ignored = set(response.ignored_positions)
    tokens = [
        TokenFeatures(position, token, position in special, position in ignored, features_at(position))
        for position, token in enumerate(response.tokens)
    ]
    recipe = recipes.inference_recipe(response.recipe)
    return TokenSearchResults(source, contexts, tokens, recipe, response.prepended_bos is True)
