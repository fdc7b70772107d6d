"""The dials of the steer page: features with a strength each."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database
from memicos_webapp.errors import NotFound
from memicos_webapp.features import repository as features
from memicos_webapp.features import service as feature_service
from memicos_webapp.features.rows import FeatureCard
from memicos_webapp.settings import Settings
from memicos_webapp.steering import repository
from memicos_webapp.steering.default_strength import default_strength
from memicos_webapp.steering.page_link import LinkedFeature

FOUND_AT_ONCE = 12
"""Features that the page's search offers at a time."""


@dataclass(frozen=True)
class Dial:
    model: str
    source: str
    index: int
    label: str
    strength: str
    span: str
    """The range goes from -span to span."""
    step: str
    limit: str


def name_of(card: FeatureCard) -> str:
    """What a feature is called where it has no words: by what it promotes."""
    if card.label:
        return card.label
    promotes = ", ".join(token.strip() or "space" for token, _ in card.positive[:3])
    return f"feature {card.index}" + (f", promotes {promotes}" if promotes else "")


def _dial(card: FeatureCard, strength: float | None, settings: Settings) -> Dial:
    usual = default_strength(card.max_activation)
    own = usual if strength is None else strength
    span = min(settings.steer_strength, max(3 * usual, abs(own)))
    # a hundred steps or so, of a round size
    step = 10 ** math.floor(math.log10(span / 100)) if span else 1
    span = math.ceil(span / step) * step
    return Dial(
        model=card.source.model_id,
        source=card.source.name,
        index=card.index,
        label=name_of(card),
        strength=f"{own:.10g}",
        span=f"{span:.10g}",
        step=f"{step:.10g}",
        limit=f"{settings.steer_strength:g}",
    )


async def one(session: AsyncSession, viewer: Viewer, settings: Settings, model: str, wanted: LinkedFeature) -> Dial:
    """The dial of a feature.

    Raises:
        NotFound: there is no such feature.
    """
    source, row = await feature_service.get(session, viewer, model, wanted.source, wanted.index)
    cards = await features.cards(session, [(source, row.index)])
    return _dial(cards[source.source_id, row.index], wanted.strength, settings)


async def several(
    database: Database, viewer: Viewer, settings: Settings, model: str, wanted: Sequence[LinkedFeature]
) -> tuple[list[Dial], list[str]]:
    """The dials of the features that an address names, and what is wrong with the others."""
    dials, problems = [], []
    if len(wanted) > settings.steer_features:
        problems.append(f"{len(wanted)} features were named, {settings.steer_features} steer at once.")
    most = settings.steer_strength
    async with database.snapshot() as session:
        for feature in dict.fromkeys(wanted[: settings.steer_features]):
            strength = feature.strength
            if strength is not None and abs(strength) > most:
                problems.append(
                    f"A strength may go from {-most:g} to {most:g}: that of {feature.name} was {strength:g}."
                )
                strength = math.copysign(most, strength)
            try:
                dials.append(await one(session, viewer, settings, model, replace(feature, strength=strength)))
            except NotFound as fault:
                problems.append(fault.message)
    return dials, problems


_PLACE = re.compile(r"(?:\S*/)?(?P<source>[^/\s]+)[/\s]+(?P<index>\d{1,9})")


async def find(session: AsyncSession, viewer: Viewer, model: str, query: str) -> list[FeatureCard]:
    """Features of `model` by an index, by `source/index`, or by words of their explanations.

    Raises:
        NotFound: the query names a feature that does not exist.
    """
    query = query.strip()
    place = _PLACE.fullmatch(query)
    if place and await catalog.source(session, viewer, model, place["source"]):
        source, row = await feature_service.get(session, viewer, model, place["source"], int(place["index"]))
        keys = [(source, row.index)]
    elif query.isdecimal() and len(query) < 10:
        keys = await repository.by_index(session, viewer, model, int(query))
    else:
        keys = await repository.by_words(session, viewer, model, query, FOUND_AT_ONCE)
    cards = await features.cards(session, keys)
    return [cards[key] for source, index in keys if (key := (source.source_id, index)) in cards]
