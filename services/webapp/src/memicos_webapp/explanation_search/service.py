"""Search of explanations: features whose explanations match a query.

Two rankings are fused by reciprocal ranks (Cormack, Clarke & Büttcher 2009): by the cosine of query and explanation,
and by the words they share. Vectors of different embedders cannot be compared, so each group of sources with the same
embedder has its own ranking by cosine. Explanations without a vector are found by words only, and the results say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Depends, Request
from memicos_embeddings.embedder import MINILM, EmbedderError, Vectors
from memicos_embeddings.registry import EmbedderRegistry
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.rows import SourceInfo
from memicos_webapp.catalog.service import join_names, unknown_model, unknown_source
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.embeddings.background import BackgroundEmbedder
from memicos_webapp.embeddings.cost_limits import QueryCostLimiter
from memicos_webapp.embeddings.repository import Coverage
from memicos_webapp.errors import BadInput, NotFound, UpstreamFault
from memicos_webapp.explanation_search import repository
from memicos_webapp.explanation_search.rows import Candidate, DensityRange, MatchedExplanation
from memicos_webapp.features import repository as features
from memicos_webapp.features.rows import ContextRow, FeatureCard
from memicos_webapp.settings import Settings

MIN_CHARACTERS = 3
"""Characters of a query: shorter ones match nearly everything."""
SMOOTHING = 60
"""The constant of reciprocal rank fusion, from its paper."""
EXAMPLES = 3
"""Strongest examples of a feature that results show."""


@dataclass(frozen=True)
class SearchResources:
    """Dependencies of a search."""

    database: Database
    embedders: EmbedderRegistry
    background: BackgroundEmbedder
    cost_limiter: QueryCostLimiter
    settings: Settings
    client_address: str
    """Address of the visitor, by which paid query embeddings are counted."""


async def search_resources(request: Request) -> SearchResources:
    state = request.app.state
    return SearchResources(
        database=state.database,
        embedders=state.embedders,
        background=state.background_embedder,
        cost_limiter=state.query_cost_limiter,
        settings=state.settings,
        client_address=request.client.host if request.client else "",
    )


SearchDep = Annotated[SearchResources, Depends(search_resources)]


@dataclass(frozen=True)
class SearchScope:
    """Scope of a search; all sources where it is empty. `sources` are names in `model`."""

    model: str | None = None
    release: str | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchQuery:
    """`by_meaning`: false to rank by words only, without an embedding of the query."""

    text: str
    scope: SearchScope = field(default_factory=SearchScope)
    offset: int = 0
    min_density: float | None = None
    max_density: float | None = None
    by_meaning: bool = True

    @property
    def density(self) -> DensityRange | None:
        if self.min_density is None and self.max_density is None:
            return None
        return DensityRange(self.min_density or 0.0, 1.0 if self.max_density is None else self.max_density)


@dataclass(frozen=True)
class SkippedSources:
    """Sources of a model of which some (`partly`) or all explanations were searched by words only."""

    model: str
    sources: list[str]
    reason: str
    partly: bool


@dataclass(frozen=True)
class RankedFeature:
    """A feature of the fused ranking, with its best-ranked explanation."""

    source_id: int
    index: int
    explanation_id: int
    cosine: float | None
    by_meaning: bool
    by_words: bool
    score: float


@dataclass(frozen=True)
class SearchHit:
    ranked: RankedFeature
    explanation: MatchedExplanation
    card: FeatureCard
    contexts: Mapping[int, ContextRow]
    """Contexts of the source's corpus by number: those of the card's examples among them."""

    @property
    def source(self) -> SourceInfo:
        return self.card.source


@dataclass(frozen=True)
class SearchResults:
    query: SearchQuery
    hits: list[SearchHit]
    total: int
    """Results that paging can reach."""
    skipped: list[SkippedSources]

    @property
    def next_offset(self) -> int | None:
        offset = self.query.offset + len(self.hits)
        return offset if self.hits and offset < self.total else None


def validated(query: SearchQuery, settings: Settings) -> SearchQuery:
    """The query with whitespace normalized.

    Raises:
        BadInput: the text is too short or too long, or the densities exclude each other.
    """
    text = " ".join(query.text.split())
    if len(text) < MIN_CHARACTERS:
        raise BadInput(f"A query has at least {MIN_CHARACTERS} characters; this one has {len(text)}.")
    if len(text) > settings.query_characters:
        raise BadInput(f"The query has {len(text)} characters; at most {settings.query_characters} are allowed.")
    low, high = query.min_density, query.max_density
    if low is not None and high is not None and low > high:
        raise BadInput(f"No density is above {low:g} and below {high:g}.")
    return replace(query, text=text)


async def resolve(session: AsyncSession, viewer: Viewer, scope: SearchScope) -> list[SourceInfo]:
    """The sources of a scope.

    Raises:
        NotFound: a model, release or source is unknown; the message says which, and what exists.
    """
    sources = await catalog.sources(session, viewer, scope.model, scope.release, scope.sources)
    if scope.model is not None and not sources and not scope.sources:
        raise await unknown_model(session, viewer, scope.model)
    if scope.release is not None and not sources:
        releases = [release.id for release in await catalog.releases(session, viewer)]
        available = f"available: {join_names(releases)}" if releases else "nothing has been imported yet"
        raise NotFound(f"There is no release {scope.release!r}; {available}.")
    names = {source.name for source in sources}
    for name in scope.sources:
        if name not in names and scope.model is not None:
            raise await unknown_source(session, viewer, scope.model, name)
    return sources


@dataclass(frozen=True)
class Choices:
    """Scopes that can be chosen: models with their sources, and releases as (id, name)."""

    models: list[str]
    releases: list[tuple[str, str]]
    sources: dict[str, list[str]]


async def choices(resources: SearchResources, viewer: Viewer, scope: SearchScope) -> Choices:
    """The listed models, releases and sources, and unlisted ones that `scope` names."""
    async with resources.database.snapshot() as session:
        listed_sources = await catalog.sources(session, viewer)
        releases = await catalog.releases(session, viewer)
        if scope.model is not None:
            listed_sources += await catalog.sources(session, viewer, scope.model, names=scope.sources)
        if scope.release is not None and scope.release not in {release.id for release in releases}:
            release = await catalog.release(session, viewer, scope.release)
            releases += [release] if release else []
    sources: dict[str, list[str]] = {}
    for source in sorted(listed_sources, key=lambda source: (source.model_id, source.layer, source.name)):
        names = sources.setdefault(source.model_id, [])
        if source.name not in names:
            names.append(source.name)
    return Choices(list(sources), [(release.id, release.name) for release in releases], sources)


async def search(resources: SearchResources, viewer: Viewer, query: SearchQuery) -> SearchResults:
    """The features that match the query, best first.

    The first snapshot reads which embedders the query needs; no connection is held while they compute. The second one
    resolves the sources and reads all results, so that these belong to the same loads.

    Raises:
        BadInput, NotFound: as `validated` and `resolve`.
        TooManyRequests: the visitor, or all together, have used the paid query embeddings (`cost_limits`).
        UpstreamFault: no source could be searched by meaning, because the embedder failed, and no words matched.
    """
    query = validated(query, resources.settings)
    async with resources.database.snapshot() as session:
        keys = {source.active_embedder for source in await resolve(session, viewer, query.scope)}
    vectors, faults = {}, {}
    if query.by_meaning:
        vectors, faults = await _query_vectors(resources, query.text, sorted(key for key in keys if key))
    coverage = await resources.background.coverage()
    async with resources.database.snapshot() as session:
        groups: dict[str | None, list[SourceInfo]] = {}
        for source in await resolve(session, viewer, query.scope):
            groups.setdefault(source.active_embedder, []).append(source)
        ranked = await _rank(session, query, groups, vectors, resources.settings.search_candidates)
        page = ranked[query.offset : query.offset + resources.settings.search_page]
        hits = await _hits(session, query.text, page, [source for group in groups.values() for source in group])
    if faults and set(groups) <= set(faults) and not ranked:
        raise UpstreamFault(next(iter(faults.values())))
    skipped: list[SkippedSources] = []
    if query.by_meaning:
        skipped = _skipped(groups, vectors, faults, coverage, resources.background.status.problem)
    return SearchResults(query, hits, len(ranked), skipped)


async def _query_vectors(
    resources: SearchResources, text: str, keys: Sequence[str]
) -> tuple[dict[str, Vectors], dict[str, str]]:
    """(vector of the query by embedder, reason by embedder that gave none)."""

    def charge() -> None:
        resources.cost_limiter.charge(resources.client_address)

    vectors, faults = {}, {}
    for key in keys:
        try:
            vectors[key] = await resources.embedders.query_vector(key, text, charge)
        except EmbedderError as error:
            faults[key] = error.message
    return vectors, faults


def _skipped(
    groups: Mapping[str | None, Sequence[SourceInfo]],
    vectors: Mapping[str, Vectors],
    faults: Mapping[str, str],
    coverage: Mapping[int, Coverage],
    background_problem: str | None,
) -> list[SkippedSources]:
    skipped = []
    for key, sources in groups.items():
        by_model: dict[str, list[SourceInfo]] = {}
        for source in sources:
            state = coverage.get(source.source_id)
            if key not in vectors or state is None or state.embedded < state.total:
                by_model.setdefault(source.model_id, []).append(source)
        for model, lacking in by_model.items():
            partly = False
            if key and key in faults:
                reason = faults[key]
            else:
                states = [coverage[source.source_id] for source in lacking if source.source_id in coverage]
                embedded, total = sum(state.embedded for state in states), sum(state.total for state in states)
                reason = f"{embedded:,} of {total:,} explanations can be searched by meaning so far."
                reason += f" {background_problem}" if background_problem else ""
                partly = key in vectors and embedded > 0
            skipped.append(SkippedSources(model, [source.name for source in lacking], reason, partly))
    return skipped


async def _rank(
    session: AsyncSession,
    query: SearchQuery,
    groups: Mapping[str | None, Sequence[SourceInfo]],
    vectors: Mapping[str, Vectors],
    limit: int,
) -> list[RankedFeature]:
    by_vector: list[list[Candidate]] = []
    by_words: list[Candidate] = []
    await repository.set_planner(session, limit)
    for key, sources in groups.items():
        vector = vectors.get(key) if key else None
        if key and vector is not None:
            by_vector.append(await repository.nearest_by_vector(session, key, vector, sources, query.density, limit))
        by_words += await repository.matching_words(
            session, key or MINILM, query.text, vector, sources, query.density, limit
        )
    # each group comes ordered by word rank, then by distance
    by_words.sort(key=lambda row: (-row.word_rank, 2.0 if row.distance is None else row.distance, row.id))
    return fuse(by_vector, by_words[:limit])


def fuse(by_vector: Sequence[Sequence[Candidate]], by_words: Sequence[Candidate]) -> list[RankedFeature]:
    """One ranking of features out of rankings of explanations: by the sum of 1 / (60 + rank) over the rankings.

    A feature has its best rank in each. Of its explanations the result has the one nearest in meaning, or else the one
    with the best rank by words.
    """
    scores: dict[tuple[int, int], float] = {}
    best: dict[tuple[int, int], Candidate] = {}
    matched_by_meaning, matched_by_words = set(), set()
    rankings = [*((ranking, matched_by_meaning) for ranking in by_vector), (by_words, matched_by_words)]
    for ranking, matched in rankings:
        rank = 0
        for candidate in ranking:
            key = candidate.source_id, candidate.index
            if key in matched:
                continue
            matched.add(key)
            rank += 1
            scores[key] = scores.get(key, 0.0) + 1 / (SMOOTHING + rank)
            best.setdefault(key, candidate)
    order = sorted(scores, key=lambda key: (-scores[key], key))
    return [
        RankedFeature(
            source_id=key[0],
            index=key[1],
            explanation_id=best[key].id,
            cosine=None if (distance := best[key].distance) is None else 1 - distance,
            by_meaning=key in matched_by_meaning,
            by_words=key in matched_by_words,
            score=scores[key],
        )
        for key in order
    ]


async def _hits(
    session: AsyncSession, text: str, page: Sequence[RankedFeature], sources: Sequence[SourceInfo]
) -> list[SearchHit]:
    if not page:
        return []
    by_id = {source.source_id: source for source in sources}
    cards = await features.cards(session, [(by_id[ranked.source_id], ranked.index) for ranked in page], EXAMPLES)
    explanations = await repository.explanations(session, sources, [ranked.explanation_id for ranked in page], text)
    contexts = await features.contexts_of(session, cards.values())
    return [
        SearchHit(
            ranked=ranked,
            explanation=explanations[ranked.explanation_id],
            card=cards[ranked.source_id, ranked.index],
            contexts=contexts[by_id[ranked.source_id].corpus_id],
        )
        for ranked in page
    ]
