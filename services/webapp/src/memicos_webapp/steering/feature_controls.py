"""The features of the steer page, each with a slider, and the search that adds them."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import BadInput, NotFound
from memicos_webapp.features import repository as features
from memicos_webapp.features import service as feature_service
from memicos_webapp.features.rows import FeatureCard
from memicos_webapp.formatting import lone_token_text
from memicos_webapp.settings import Settings, variable
from memicos_webapp.steering import repository
from memicos_webapp.steering.page_link import LinkedFeature
from memicos_webapp.steering.schemas import SteerMethod
from memicos_webapp.steering.strength_scale import StrengthScale, strength_scales, vector_scales
from memicos_webapp.vectors import repository as vector_repository
from memicos_webapp.vectors import service as vectors
from memicos_webapp.vectors.names import is_vector_source

RESULTS = 12
"""Features that the page's search lists."""


@dataclass(frozen=True)
class FeatureControl:
    """A feature, or a vector in its place, with a slider.

    `strength` is for `method`; `limit` is the largest that the server accepts.
    """

    model: str
    source: str
    index: int
    label: str
    method: SteerMethod
    strength: str
    limit: str
    scales: tuple[StrengthScale, ...]

    @property
    def scale(self) -> StrengthScale:
        return next(scale for scale in self.scales if scale.method == self.method)

    @property
    def scales_json(self) -> str:
        """Numbers of every scale by its method, for the page's script."""
        return json.dumps(
            {scale.method: {"value": scale.default, "max": scale.limit, "step": scale.step} for scale in self.scales}
        )


@dataclass(frozen=True)
class SearchResult:
    """A feature or vector that the page's search lists."""

    model: str
    source: str
    index: int
    label: str


def label_of(card: FeatureCard) -> str:
    """The feature's explanation; without one its index and the tokens that it promotes."""
    if card.label:
        return card.label
    promotes = ", ".join(lone_token_text(token.strip()) or "space" for token, _ in card.positive[:3])
    return f"feature {card.index}" + (f", promotes {promotes}" if promotes else "")


async def control(
    session: AsyncSession,
    viewer: Viewer,
    settings: Settings,
    model: str,
    feature: LinkedFeature,
    method: SteerMethod,
) -> FeatureControl:
    """The control of one feature or vector.

    Raises:
        NotFound: There is no such feature.
    """
    if is_vector_source(feature.source):
        return await _vector_control(session, viewer, settings, model, feature, method)
    source, row = await feature_service.get(session, viewer, model, feature.source, feature.index)
    card = (await features.cards(session, [(source, row.index)]))[source.source_id, row.index]
    limit = settings.steer_strength
    scales = strength_scales(card.max_activation, source.residual_norm, limit, method, feature.strength)
    default = next(scale.default for scale in scales if scale.method == method)
    return FeatureControl(
        model=source.model_id,
        source=source.name,
        index=card.index,
        label=label_of(card),
        method=method,
        strength=f"{default if feature.strength is None else feature.strength:.10g}",
        limit=f"{limit:g}",
        scales=scales,
    )


async def _vector_control(
    session: AsyncSession,
    viewer: Viewer,
    settings: Settings,
    model: str,
    feature: LinkedFeature,
    method: SteerMethod,
) -> FeatureControl:
    row = await vectors.get(session, viewer, model, feature.source, feature.index)
    limit = settings.steer_strength
    scales = vector_scales(row.default_strength, row.length, limit, method, feature.strength)
    default = next(scale.default for scale in scales if scale.method == method)
    return FeatureControl(
        model=row.model_id,
        source=row.source,
        index=row.index,
        label=row.label,
        method=method,
        strength=f"{default if feature.strength is None else feature.strength:.10g}",
        limit=f"{limit:g}",
        scales=scales,
    )


async def controls(
    database: Database,
    viewer: Viewer,
    settings: Settings,
    model: str,
    linked: Sequence[LinkedFeature],
    method: SteerMethod,
) -> tuple[list[FeatureControl], list[str]]:
    """The controls of the features that a link names, and messages about those that are wrong."""
    controls, problems = [], []
    if len(linked) > settings.steer_features:
        problems.append(f"{len(linked)} features were named; at most {settings.steer_features} can be used at once.")
    limit = settings.steer_strength
    async with database.snapshot() as session:
        for feature in dict.fromkeys(linked[: settings.steer_features]):
            strength = feature.strength
            if strength is not None and abs(strength) > limit:
                problems.append(f"The strength of {feature.name} was {strength:g}; allowed is {-limit:g} to {limit:g}.")
                strength = math.copysign(limit, strength)
            try:
                controls.append(
                    await control(session, viewer, settings, model, replace(feature, strength=strength), method)
                )
            except NotFound as fault:
                problems.append(fault.message)
    return controls, problems


_FEATURE_ID = re.compile(r"(?:\S*/)?(?P<source>[^/\s]+)[/\s]+(?P<index>[0-9]{1,9})")
_WORD = re.compile(r"\w+")


def search_words(settings: Settings, query: str) -> list[str]:
    """The words of a search.

    Raises:
        BadInput: The query is too long, or has too many words.
    """
    if len(query) > settings.steer_search_characters:
        raise BadInput(
            f"The search has {len(query)} characters; at most {settings.steer_search_characters} are allowed "
            f"({variable('steer_search_characters')})."
        )
    words = _WORD.findall(query)
    if len(words) > settings.steer_search_words:
        raise BadInput(
            f"The search has {len(words)} words; at most {settings.steer_search_words} are allowed "
            f"({variable('steer_search_words')})."
        )
    return words


async def search(
    session: AsyncSession, viewer: Viewer, settings: Settings, model: str, query: str
) -> list[SearchResult]:
    """Features of `model` by an index, by `source/index`, or by the beginnings of words of their explanations.

    Vectors are found by `source/index`, those of the viewer's account by the words of their labels too.

    Raises:
        BadInput: The query is too long, or has too many words.
        NotFound: The query names a feature that does not exist.
    """
    query = query.strip()
    words = search_words(settings, query)
    match = _FEATURE_ID.fullmatch(query)
    if match and is_vector_source(match["source"]):
        row = await vectors.get(session, viewer, model, match["source"], int(match["index"]))
        return [SearchResult(model, row.source, row.index, row.label)]
    own: list[SearchResult] = []
    if match and await catalog.source(session, viewer, model, match["source"]):
        source, row = await feature_service.get(session, viewer, model, match["source"], int(match["index"]))
        keys = [(source, row.index)]
    elif query.isascii() and query.isdecimal() and len(query) < 10:
        keys = await repository.by_index(session, viewer, model, int(query))
    else:
        keys = await repository.by_words(session, viewer, model, words, RESULTS)
        own = [
            SearchResult(model, source, index, label)
            for source, index, label in await vector_repository.own_labels(session, viewer, model)
            if words and all(re.search(rf"\b{re.escape(word)}", label, re.IGNORECASE) for word in words)
        ]
    cards = await features.cards(session, keys)
    return own[:RESULTS] + [
        SearchResult(source.model_id, source.name, index, label_of(cards[key]))
        for source, index in keys
        if (key := (source.source_id, index)) in cards
    ]
