"""Search by meaning: features whose explanations fit a query.

Two rankings are fused by reciprocal ranks (Cormack, Clarke & Büttcher 2009): the cosine of query and explanation,
and the words they share. Vectors of different embedders cannot be compared, so each group of sources that shares
one has its own ranking by meaning. What has no vector is still found by words, and the answer says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from memicos_embeddings.embedder import MINILM, EmbedderError, Vectors
from memicos_embeddings.registry import EmbedderRegistry
from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.service import listed, unknown_model, unknown_source
from memicos_webapp.database.engine import Database
from memicos_webapp.embeddings.background import BackgroundEmbedder
from memicos_webapp.embeddings.repository import Coverage
from memicos_webapp.errors import BadInput, NotFound, UpstreamFault
from memicos_webapp.explanation_search import repository
from memicos_webapp.explanation_search.repository import Candidate, Density, FeatureCard, Searched, Words
from memicos_webapp.features import repository as feature_repository
from memicos_webapp.features.schemas import ContextRow
from memicos_webapp.settings import Settings

SHORTEST = 3
"""Characters of a query: fewer mean too much."""
SMOOTHING = 60
"""The constant of reciprocal rank fusion, from its paper."""


@dataclass(frozen=True)
class Search:
    """What a search needs of the server."""

    database: Database
    embedders: EmbedderRegistry
    background: BackgroundEmbedder
    settings: Settings


async def search_of(request: Request) -> Search:
    state = request.app.state
    return Search(state.database, state.embedders, state.background_embedder, state.settings)


SearchDep = Annotated[Search, Depends(search_of)]


@dataclass(frozen=True)
class Scope:
    """Where to search; empty is everywhere. `sources` are names in `model`."""

    model: str | None = None
    release: str | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    query: str
    scope: Scope = field(default_factory=Scope)
    offset: int = 0
    min_density: float | None = None
    max_density: float | None = None

    @property
    def density(self) -> Density | None:
        if self.min_density is None and self.max_density is None:
            return None
        return Density(self.min_density or 0.0, 1.0 if self.max_density is None else self.max_density)


@dataclass(frozen=True)
class Gap:
    """Sources of a model that were searched by words only, wholly or in part."""

    model: str
    sources: list[str]
    reason: str


@dataclass(frozen=True)
class Ranked:
    """A feature of the fused ranking, with the explanation that put it there."""

    source_id: int
    index: int
    explanation_id: int
    cosine: float | None
    by_meaning: bool
    by_words: bool
    score: float


@dataclass(frozen=True)
class Hit:
    source: Searched
    ranked: Ranked
    words: Words
    feature: FeatureCard
    contexts: Mapping[int, ContextRow]
    """Of the source's corpus, by number."""


@dataclass(frozen=True)
class Answer:
    wanted: Wanted
    hits: list[Hit]
    total: int
    """Results that paging can reach."""
    gaps: list[Gap]
    searched: list[Searched]

    @property
    def next_offset(self) -> int | None:
        after = self.wanted.offset + len(self.hits)
        return after if self.hits and after < self.total else None


def check(wanted: Wanted, settings: Settings) -> Wanted:
    """With the query's outer blanks removed.

    Raises:
        BadInput: the query is too short or too long, or the densities exclude each other.
    """
    query = " ".join(wanted.query.split())
    if len(query) < SHORTEST:
        raise BadInput(f"A query has at least {SHORTEST} characters; this one has {len(query)}.")
    if len(query) > settings.query_characters:
        raise BadInput(f"The query has {len(query)} characters, at most {settings.query_characters} are taken.")
    low, high = wanted.min_density, wanted.max_density
    if low is not None and high is not None and low > high:
        raise BadInput(f"No density is above {low:g} and below {high:g}.")
    return Wanted(query, wanted.scope, wanted.offset, low, high)


async def sources_of(session: AsyncSession, scope: Scope) -> list[Searched]:
    """The sources of a scope.

    Raises:
        NotFound: a model, release or source is unknown; the message says which, and what exists.
    """
    found = await repository.sources(session, scope.model, scope.release, scope.sources)
    if scope.model is not None and not found and not scope.sources:
        raise await unknown_model(session, scope.model)
    if scope.release is not None and not found:
        known = [release.id for release in await catalog.releases(session)]
        exist = f"there is {listed(known)}" if known else "nothing has been imported yet"
        raise NotFound(f"There is no release {scope.release!r} here; {exist}.")
    names = {source.name for source in found}
    for name in scope.sources:
        if name not in names and scope.model is not None:
            raise await unknown_source(session, scope.model, name)
    return found


@dataclass(frozen=True)
class Choices:
    """What can be searched: models with their sources, and releases as (id, name)."""

    models: list[str]
    releases: list[tuple[str, str]]
    sources: dict[str, list[str]]


async def choices(service: Search) -> Choices:
    async with service.database.snapshot() as session:
        found = await repository.sources(session, None, None, ())
        releases = await catalog.releases(session)
    sources: dict[str, list[str]] = {}
    for source in found:
        sources.setdefault(source.model_id, []).append(source.name)
    return Choices(list(sources), [(release.id, release.name) for release in releases], sources)


async def search(service: Search, wanted: Wanted) -> Answer:
    """The features that fit the query, best first.

    Raises:
        BadInput, NotFound: as `check` and `sources_of`.
        UpstreamFault: no source could be searched by meaning, as the embedder failed.
    """
    wanted = check(wanted, service.settings)
    async with service.database.snapshot() as session:
        sources = await sources_of(session, wanted.scope)
    groups: dict[str | None, list[Searched]] = {}
    for source in sources:
        groups.setdefault(source.embedder, []).append(source)
    vectors, faults = await _vectors(service, wanted.query, [key for key in groups if key])
    gaps = _gaps(groups, vectors, faults, await service.background.coverage(), service.background.status.problem)
    async with service.database.snapshot() as session:
        ranked = await _rank(session, wanted, groups, vectors, service.settings.search_candidates)
        page = ranked[wanted.offset : wanted.offset + service.settings.search_page]
        hits = await _hits(session, wanted.query, page, {source.id: source for source in sources})
    if faults and len(faults) == len(groups) and not ranked:
        raise UpstreamFault(next(iter(faults.values())))
    return Answer(wanted, hits, len(ranked), gaps, sources)


async def _vectors(service: Search, query: str, keys: Sequence[str]) -> tuple[dict[str, Vectors], dict[str, str]]:
    """The query's vector by each embedder, and the reasons of those that gave none."""
    vectors, faults = {}, {}
    for key in keys:
        try:
            vectors[key] = await service.embedders.query_vector(key, query)
        except EmbedderError as error:
            faults[key] = error.message
    return vectors, faults


def _gaps(
    groups: Mapping[str | None, Sequence[Searched]],
    vectors: Mapping[str, Vectors],
    faults: Mapping[str, str],
    coverage: Mapping[int, Coverage],
    stuck: str | None,
) -> list[Gap]:
    found = []
    for key, sources in groups.items():
        by_model: dict[str, list[Searched]] = {}
        for source in sources:
            state = coverage.get(source.id)
            if key not in vectors or state is None or state.embedded < state.total:
                by_model.setdefault(source.model_id, []).append(source)
        for model, lacking in by_model.items():
            if key and key in faults:
                reason = faults[key]
            else:
                states = [coverage[source.id] for source in lacking if source.id in coverage]
                embedded, total = sum(one.embedded for one in states), sum(one.total for one in states)
                reason = f"{embedded:,} of {total:,} explanations can be searched by meaning so far."
                reason += f" {stuck}" if stuck else ""
            found.append(Gap(model, [source.name for source in lacking], reason))
    return found


async def _rank(
    session: AsyncSession,
    wanted: Wanted,
    groups: Mapping[str | None, Sequence[Searched]],
    vectors: Mapping[str, Vectors],
    limit: int,
) -> list[Ranked]:
    near: list[list[Candidate]] = []
    worded: list[Candidate] = []
    await repository.plan(session, limit)
    for key, sources in groups.items():
        ids = [source.id for source in sources]
        vector = vectors.get(key) if key else None
        if key and vector is not None:
            near.append(await repository.nearest(session, key, vector, ids, wanted.density, limit))
        worded += await repository.worded(session, key or MINILM, wanted.query, vector, ids, wanted.density, limit)
    # each group comes ordered by words, then by distance
    worded.sort(key=lambda one: (-one.words, 2.0 if one.distance is None else one.distance, one.id))
    return fuse(near, worded[:limit])


def fuse(near: Sequence[Sequence[Candidate]], worded: Sequence[Candidate]) -> list[Ranked]:
    """One ranking of features out of rankings of explanations: by the sum of 1 / (60 + rank) over the rankings.

    A feature has its best rank in each; of its explanations the one nearest in meaning is kept, else the one with
    the most fitting words.
    """
    scores: dict[tuple[int, int], float] = {}
    best: dict[tuple[int, int], Candidate] = {}
    meaning, words = set(), set()
    for ranking, seen in [*((one, meaning) for one in near), (worded, words)]:
        rank = 0
        for candidate in ranking:
            key = candidate.source_id, candidate.index
            if key in seen:
                continue
            seen.add(key)
            rank += 1
            scores[key] = scores.get(key, 0.0) + 1 / (SMOOTHING + rank)
            best.setdefault(key, candidate)
    order = sorted(scores, key=lambda key: (-scores[key], key))
    return [
        Ranked(
            source_id=key[0],
            index=key[1],
            explanation_id=best[key].id,
            cosine=None if (distance := best[key].distance) is None else 1 - distance,
            by_meaning=key in meaning,
            by_words=key in words,
            score=scores[key],
        )
        for key in order
    ]


async def _hits(
    session: AsyncSession, query: str, page: Sequence[Ranked], sources: Mapping[int, Searched]
) -> list[Hit]:
    if not page:
        return []
    features = await repository.features(session, [(one.source_id, one.index) for one in page])
    words = await repository.explanations(session, [one.explanation_id for one in page], query)
    numbers: dict[int, set[int]] = {}
    for card in features.values():
        wanted = numbers.setdefault(sources[card.source_id].corpus_id, set())
        wanted.update(example.context for example in card.examples)
    contexts = {
        corpus: await feature_repository.contexts(session, corpus, sorted(wanted)) for corpus, wanted in numbers.items()
    }
    return [
        Hit(
            source=sources[one.source_id],
            ranked=one,
            words=words[one.explanation_id],
            feature=features[one.source_id, one.index],
            contexts=contexts[sources[one.source_id].corpus_id],
        )
        for one in page
    ]
